"""Conversations as people's clients send them again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

HI = {"role": "user", "content": "hi"}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "12:00"}
Sent = Callable[..., Awaitable[list[dict[str, Any]]]]


def openai_body(*messages: Any, model: str = "demo") -> Any:
    return {"model": model, "messages": list(messages)}


def ui(role: str, *parts: Any) -> Any:
    return {"id": "m", "role": role, "parts": list(parts)}


LINES = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
