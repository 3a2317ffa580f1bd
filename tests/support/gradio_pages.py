"""A page of Gradio's without a browser: its functions, asked as its own script asks them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from tests.support.serving import get, post


def text_message(text: str, role: str = "user") -> dict[str, Any]:
    """A message of a chatbot, as the page sends it."""
    return {"role": role, "content": [{"type": "text", "text": text}], "metadata": None, "options": None}


def file_message(path: str) -> dict[str, Any]:
    """A message with a file that was uploaded, as the page sends it."""
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    return {"role": "user", "content": [{"type": "file", "file": file}], "metadata": None, "options": None}


def call_page(
    url: str, name: str, data: Sequence[Any], *, headers: Mapping[str, str] | None = None, session: str = "page"
) -> dict[str, Any]:
    """What a function of the page has given when it has ended: Gradio's `process_completed`."""
    functions = get(f"{url}/config", headers=headers).json()["dependencies"]
    number = next(each["id"] for each in functions if each["api_name"] == name)
    asked = {"fn_index": number, "data": list(data), "session_hash": session}
    assert 200 == post(f"{url}/gradio_api/queue/join", asked, headers=headers).status_code
    address = f"{url}/gradio_api/queue/data?session_hash={session}"
    with httpx.stream("GET", address, headers=dict(headers or {}), timeout=30) as page:
        for line in page.iter_lines():
            event: dict[str, Any] = json.loads(line.removeprefix("data: ")) if line else {}
            if event.get("msg") == "process_completed":
                return event
    raise AssertionError("the page's stream ended before the function did")
