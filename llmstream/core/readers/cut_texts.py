"""The texts that a chain may have taken out of what a model has said before it was cut."""

from __future__ import annotations

import json
import re

from langchain_core.messages import AIMessage, BaseMessage

from llmstream.core.message_content import text_of

# The beginning of an object, be it in a block of code; a text in one, without the half of an escape at its end.
_OBJECT = re.compile(r"(?:^|```(?:json)?)\s*[{\[]")
_TEXT = re.compile(r'"((?:[^"\\]++|\\u[0-9a-fA-F]{4}|\\[^u])*+)[^"]*+"?')


def cut_texts(message: BaseMessage) -> list[str]:
    """The text of a message that was cut; of an object, or a call, its last text as well, as parsers give it."""
    said = text_of(message)
    objects = [said] if _OBJECT.search(said) else []
    if isinstance(message, AIMessage):
        objects += [json.dumps(call["args"]) for call in message.tool_calls]
    return [said, *filter(None, map(_last_text, objects))]


def _last_text(text: str) -> str:
    """The last text in an object of JSON, as far as it goes."""
    last = ""
    for found in _TEXT.finditer(text):
        last = found[1]
    try:
        return str(json.loads(f'"{last}"', strict=False))
    except ValueError:
        return ""
