"""Requests that have a model go on with an answer that was cut: the answer so far is the last message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmstream.errors import InvalidRequest


def begun(messages: Sequence[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """The messages with the answer so far; one that the client began grows, since Ollama refuses two in a row."""
    last = messages[-1]
    if last.get("role") == "assistant" and isinstance(said := last.get("content"), str) and not last.get("tool_calls"):
        return [*messages[:-1], {**last, "content": said + text}]
    return [*messages, {"role": "assistant", "content": text}]


def of_a_form() -> InvalidRequest:
    """The error for an answer in a form that was asked for: the model would begin the form anew."""
    return InvalidRequest("An answer in a given format can't be continued: its beginning would not fit. Ask again.")
