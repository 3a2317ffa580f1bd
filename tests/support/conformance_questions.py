"""Questions that several of the lists ask."""

from __future__ import annotations

JSON = "application/json; charset=utf-8"

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}

LONG = [{"role": "user", "content": "word " * 3000}]
