"""LangChain's Agent Streaming Protocol, as its clients send and read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from llmstream import sse
from tests.support.serving import Served, get, post

Fields = dict[str, Any]
RUN = "0" * 32
BEFORE = [{"type": "human", "id": "h1", "content": "Why?"}]


def command(served: Served, method: str, thread: str = "t", headers: Any = None, **params: Any) -> Fields:
    """What a command is answered."""
    body = {"id": 7, "method": method, "params": params}
    answer = post(f"{served.url}/threads/{thread}/commands", json=body, headers=headers)
    assert (200, 7) == (answer.status_code, answer.json()["id"]), answer.text
    found: Fields = answer.json()
    return found


def start(served: Served, question: object = "Why?", **options: Any) -> Fields:
    """Start a run with a question."""
    return command(served, "run.start", assistant_id="agent", input={"messages": question}, **options)


@contextmanager
def streaming(
    served: Served, *, thread: str = "t", path: str = "stream/events", **body: Any
) -> Iterator[Iterator[Fields]]:
    """The events of a thread as they come."""
    asked = {"channels": ["values", "messages", "tools", "lifecycle", "input", "custom"], **body}
    with httpx.stream("POST", f"{served.url}/threads/{thread}/{path}", json=asked, timeout=30) as response:
        assert 200 == response.status_code
        decoder = sse.Decoder()
        yield (json.loads(each.data) for piece in response.iter_raw() for each in decoder.feed(piece))


def until(events: Iterator[Fields], *ends: str) -> list[Fields]:
    """The events up to a change of the lifecycle."""
    came: list[Fields] = []
    for event in events:
        came.append(event)
        if event["method"] == "lifecycle" and event["params"]["data"]["event"] in ends:
            return came
    raise AssertionError("The stream has ended.")


def state(served: Served, thread: str = "t") -> Fields:
    """A thread as it is."""
    found: Fields = get(f"{served.url}/threads/{thread}/state").json()
    return found
