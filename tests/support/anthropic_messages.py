"""Requests of Anthropic's Messages."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support.serving import Served, post

WEATHER = {
    "name": "get_weather",
    "description": "The weather now.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def ask(**changes: Any) -> dict[str, Any]:
    """A request."""
    return {"model": "demo", "max_tokens": 1000, "messages": [{"role": "user", "content": "Why?"}], **changes}


def send(served: Served, path: str = "/v1/messages", **changes: Any) -> httpx.Response:
    """One request, read to its end."""
    return post(f"{served.url}{path}", json=ask(**changes))
