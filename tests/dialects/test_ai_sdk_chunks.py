"""The AI SDK's dialect for WorkflowChatTransport, which comes back to a run by the number of a chunk."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from starlette.requests import HTTPConnection

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.golden import forever
from tests.support.serving import Serve, Served, get, messages, post

USER = {"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Why?"}]}
CALL = {"type": "tool-get_weather", "toolCallId": "a", "state": "output-available", "input": {}, "output": "Sunny"}
ANSWER = {"id": "m2", "role": "assistant", "parts": [{"type": "step-start"}, CALL]}


def ask(served: Served, *said: dict[str, Any], headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    """One question as the transport asks it: JSON that says of itself that it is text."""
    content = json.dumps({"messages": said or [USER], **body})
    return post(f"{served.url}/api/chat", content=content, headers={"content-type": "text/plain", **(headers or {})})


def chunks(response: httpx.Response) -> list[str]:
    """The chunks as the transport counts them."""
    assert 200 == response.status_code
    found = [message.data for message in messages(response.content)]
    assert "[DONE]" == found.pop()
    return found


def behind(served: Served, run: str, start: int, **headers: str) -> httpx.Response:
    """What comes from this chunk on."""
    return get(f"{served.url}/api/chat/{run}/stream?startIndex={start}", headers=headers)


@pytest.mark.parametrize(
    ("said", "body"),
    [
        ([USER], {"model": "demo:thinking", "thinking": True}),
        ([USER], {"model": "demo:error-line"}),
        ([USER, ANSWER], {"model": "demo:thinking"}),  # the answer goes on, after the page made the call in it
        ([USER, ANSWER], {"model": "demo:thinking", "id": "chat-1"}),
    ],
)
def test_nothing_is_lost_or_doubled(served: Served, said: list[dict[str, Any]], body: dict[str, Any]) -> None:
    """From any chunk on come all that the first request has not had; behind the last there is nothing."""
    response = ask(served, *said, **body)
    whole, run = chunks(response), response.headers["x-workflow-run-id"]
    assert "finish" == json.loads(whole[-1])["type"]
    for start in range(len(whole)):
        rest, tail = behind(served, run, start), behind(served, run, start - len(whole))
        assert (whole[start:], whole[start:]) == (chunks(rest), chunks(tail)), start
        assert str(len(whole) - 1) == tail.headers["x-workflow-stream-tail-index"]
    assert whole == chunks(behind(served, run, -1_000))
    assert (204, b"") == ((end := behind(served, run, len(whole))).status_code, end.content)


def test_images_have_their_room(served: Served) -> None:
    """A picture comes through that is larger than a text may be; a text of that size does not."""
    image = {"type": "file", "mediaType": "image/png", "url": f"data:image/png;base64,{'A' * 2_000_000}"}
    seen = ask(served, {**USER, "parts": [image]})
    assert (400, True) == (seen.status_code, "can't do images" in seen.text)
    assert 413 == ask(served, {**USER, "parts": [{"type": "text", "text": "A" * 2_000_000}]}).status_code


def test_impossible_start_is_refused(served: Served) -> None:
    """A start behind what there is, and a run that is not there, are a status and a sentence: no endless asking."""
    run = ask(served).headers["x-workflow-run-id"]
    beyond, nobody = behind(served, run, 1_000), behind(served, "nobody", 0)
    assert (400, 404) == (beyond.status_code, nobody.status_code)
    assert "startIndex is 1000. Begin with 0." in beyond.text
    assert "There is no such run" in nobody.text


def test_chat_by_its_id(serve: Serve, settings: Settings) -> None:
    """A page that was opened anew asks by the chat: it gets the answer that goes on, and nothing of one that ended."""
    served = serve(create_app(settings, chain=forever))
    with httpx.stream("POST", f"{served.url}/api/chat", json={"id": "chat-1", "messages": [USER]}) as first:
        pieces, came = first.iter_raw(), b""
        while b"One" not in came:
            came += next(pieces)
        with httpx.stream("GET", f"{served.url}/api/chat/chat-1/stream?startIndex=2") as again:
            assert 202 == post(f"{served.url}/api/chat/chat-1/stop").status_code
            rest = [message.data for message in messages(b"".join(again.iter_raw()))]
            whole = [message.data for message in messages(came + b"".join(pieces))]
    assert whole[2:] == rest
    assert 204 == behind(served, "chat-1", 0).status_code
    assert whole[1:-1] == chunks(behind(served, "chat-1", 1))  # who was cut


def test_page_of_another_site_starts_nothing(served: Served, upstream: DemoOllama) -> None:
    """Text can be sent without a preflight, so the origin alone stands against it."""
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert 403 == ask(served, headers=headers).status_code
    assert not [request for request in upstream.requests if request.path == "/api/chat"]


def test_run_belongs_to_its_caller(serve: Serve, settings: Settings) -> None:
    """Another caller finds neither the run nor its chunks."""

    def identify(request: HTTPConnection) -> str:
        return request.headers.get("x-user", "")

    served = serve(create_app(settings, identify=identify))
    run = ask(served, headers={"x-user": "a"}).headers["x-workflow-run-id"]
    statuses = [behind(served, run, 0, **{"x-user": user}).status_code for user in "ab"]
    assert [200, 404] == statuses
