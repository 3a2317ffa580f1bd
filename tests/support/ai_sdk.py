"""The AI SDK's requests and frames, as its hooks send and read them."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from typing import Any

import httpx

from tests.support.golden import Begun, begun
from tests.support.serving import Served, messages, post

Frames = list[dict[str, Any]]


def user(text: str = "Why?", **changes: Any) -> dict[str, Any]:
    """A message as useChat makes it."""
    return {"id": "m1", "role": "user", "parts": [{"type": "text", "text": text}], **changes}


def body(*said: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A request as useChat sends it."""
    return {"id": "chat-1", "messages": list(said or [user()]), "trigger": "submit-message", **changes}


def send(served: Served, *said: dict[str, Any], **changes: Any) -> httpx.Response:
    """One request, read to its end."""
    return post(f"{served.url}/api/chat", json=body(*said, **changes))


def frames(raw: bytes) -> Frames:
    """The frames before `[DONE]`, which must be there."""
    found = [message.data for message in messages(raw)]
    assert "[DONE]" == found[-1]
    return [json.loads(data) for data in found[:-1]]


def text(found: Frames, kind: str = "text") -> str:
    """What the client shows."""
    return "".join(frame["delta"] for frame in found if frame["type"] == f"{kind}-delta")


def types(found: Frames) -> list[str]:
    """The frames' types."""
    return [frame["type"] for frame in found]


def going(served: Served, **changes: Any) -> AbstractContextManager[Begun]:
    """A chat whose answer has begun: the response, the rest of its body, and what came."""
    return begun(served, "/api/chat", body(**changes))
