"""Requests of OpenAI's chat completions."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support.serving import Served, post


def ask(**changes: Any) -> dict[str, Any]:
    """A request."""
    return {"model": "demo", "messages": [{"role": "user", "content": "Why?"}], "stream": True, **changes}


def complete(served: Served, **changes: Any) -> httpx.Response:
    """One request, read to its end."""
    return post(f"{served.url}/v1/chat/completions", json=ask(**changes))


WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
