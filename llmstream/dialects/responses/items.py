"""The items of an input, as messages: what was said, thought, called and given back.

Source: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmstream.errors import InvalidRequest
from llmstream.http.parts import (
    Message,
    answer_of,
    call_of,
    content_of,
    file_part,
    image_part,
    in_turns,
    parts_of,
    result_of,
    text_part,
    unreadable_part,
    written,
)

Item = Mapping[str, Any]
REFERENCE = "item_reference"

_ROLES = {"user": "user", "system": "system", "developer": "system", "assistant": "assistant"}


def messages_of(items: Sequence[Item]) -> list[Message]:
    """The messages as the core takes them; raises `InvalidRequest` for what can't be read.

    What an answer is made of (thoughts, text, calls) comes item by item, and is one message. Of an earlier turn,
    items that can't be read are left out.
    """
    answer = _Answer()
    made: list[Message] = []
    for item, is_current in in_turns(items, lambda item: item.get("role")):
        if answer.takes(item, is_current=is_current):
            continue
        made += answer.end()
        if not answer.takes(item, is_current=is_current):
            made += _message(item, is_current=is_current)
    return [*made, *answer.end()]


class _Answer:
    """An earlier answer, as far as it has come."""

    def __init__(self) -> None:
        self._content: str | list[Message] | None = None
        self._calls: list[Message] = []
        self._thoughts: list[str] = []

    def takes(self, item: Item, *, is_current: bool) -> bool:
        """Takes in the item, if it can follow what there is; False where it can't."""
        match item:
            case {"type": "reasoning"} if self._content is None and not self._calls:
                self._thoughts += _thoughts(item) if is_current else []
            case {"type": "function_call"}:
                self._calls.append(call_of(item.get("call_id"), item.get("name"), item.get("arguments")))
            case {"role": "assistant"} if self._content is None and not self._calls:
                self._content = _content(item.get("content"), is_current=is_current)
            case _:
                return False
        return True

    def end(self) -> Iterator[Message]:
        """The message, if anything of it has come; the next one begins empty."""
        if self._content is not None or self._calls:
            yield answer_of(self._content or "", self._calls, "\n".join(self._thoughts))
        self._content, self._calls, self._thoughts = None, [], []


def _message(item: Item, *, is_current: bool) -> list[Message]:
    match item:
        case {"type": "function_call_output"}:
            output = "" if item.get("output") is None else item["output"]
            content = _content(output, is_current=is_current) if isinstance(output, list) else written(output)
            return [result_of(item.get("call_id"), content)]
        case {"role": str(role)} if role in _ROLES and item.get("type") in (None, "message"):
            return [{"role": _ROLES[role], "content": _content(item.get("content"), is_current=is_current)}]
    if is_current:
        kind = str(item.get("type") or item.get("role"))
        raise InvalidRequest(f"An input item of the type {kind[:40]!r} can't be read here; messages and calls can.")
    return []


def _content(content: object, *, is_current: bool) -> str | list[Message]:
    return content_of(parts_of(content), _part, is_current=is_current)


def _part(part: Any) -> Message:
    match part:
        case {"type": "input_text" | "output_text" | "text", "text": str(text)} | {
            "type": "refusal",
            "refusal": str(text),
        }:
            return text_part(text)
        case {"type": "input_image", "image_url": str(url)}:
            return image_part(url)
        case {"type": "input_file", "file_data": str(url)}:
            return file_part(url, name=str(part.get("filename") or ""))
    raise unreadable_part(part)


def _thoughts(item: Item) -> list[str]:
    parts = item.get("content") or item.get("summary")
    found = [part.get("text") for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    return [text for text in found if isinstance(text, str)]
