"""The messages of a Gradio chatbot: making them, and reading what a page sends back; no Gradio here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Message = dict[str, Any]
TRY_AGAIN = "Try again"

# The option that has the person change the arguments of a call, in the message box.
EDIT = "edit"

# The metadata of what a graph asks a person, and of the answer: a chain has them in its thread.
QUESTION, ANSWER = {"id": "question"}, {"id": "answer"}


def message(role: str, text: str, metadata: Mapping[str, Any] | None = None) -> Message:
    """A message in the form in which Gradio leaves its text alone; a plain str would be cleaned up."""
    content = [{"type": "text", "text": text}]
    return {"role": role, "content": content, "metadata": dict(metadata) if metadata else None, "options": None}


def conversation(messages: Iterable[Any]) -> list[dict[str, str]]:
    """The messages of a chatbot as a chain should know them: roles and texts.

    Without notes, empty messages, and what was asked and answered in the middle of an answer.
    """
    found: list[dict[str, str]] = []
    said_in: Any = None
    for each in messages:
        if not isinstance(each, Mapping) or (each.get("metadata") or {}).get("title") or _is_aside(each):
            continue
        role, text = str(each.get("role")), text_of(each)
        if not text or role not in ("user", "assistant"):
            continue
        before, said_in = said_in, (each.get("metadata") or {}).get("id") or said_in
        if found and found[-1]["role"] == role == "assistant" and before in (None, said_in):
            found[-1]["content"] += text  # the parts of one message
        else:
            found.append({"role": role, "content": text})
    return found


def is_answer(each: Mapping[str, Any]) -> bool:
    """True if a message answers the question of a graph."""
    return (each.get("metadata") or {}).get("id") == ANSWER["id"]


def _is_aside(each: Mapping[str, Any]) -> bool:
    return (each.get("metadata") or {}).get("id") in (QUESTION["id"], ANSWER["id"])


def text_of(each: Mapping[str, Any]) -> str:
    """The text of a message of a chatbot, whatever form it has."""
    content = each.get("content")
    parts = content if isinstance(content, list) else [content]
    texts = (part.get("text") if isinstance(part, Mapping) else part for part in parts)
    return "".join(text for text in texts if isinstance(text, str))


def last_question(history: Any) -> tuple[str, list[Any]]:
    """The last question, and the conversation before it."""
    messages = list(history or ())
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].get("role") == "user" and not _is_aside(messages[index]):
            return text_of(messages[index]), messages[:index]
    return "", messages


def edited(event: Any, history: Any) -> tuple[Any, list[Any]]:
    """The new text of an edited question, and the conversation before it."""
    index = event.index[0] if isinstance(event.index, list | tuple) else event.index
    return event.value, list(history or ())[:index]


def chosen_example(event: Any, history: Any) -> tuple[Any, Any]:
    """The question of an example, and the conversation before it."""
    return event.value.get("text"), history


def chosen_option(event: Any, history: Any) -> tuple[Any, Any]:
    """The question that an offered option asks, and the conversation before it."""
    return last_question(history) if event.value == TRY_AGAIN else (event.value, history)


def without_options(each: Any) -> Any:
    """A message without options to choose: only the last one of a chat offers some."""
    return {**each, "options": None} if isinstance(each, dict) else each
