"""Chats of the AI SDK: coming back to an answer, replacing it, going on with a message."""

from __future__ import annotations

import httpx
from fastapi import FastAPI

from llmstream.demo_ollama import DemoOllama, Pause
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.fastapi import create_app, create_router
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from tests.support.ai_sdk import body, frames, going, send, text, types, user
from tests.support.golden import forever
from tests.support.serving import Serve, Served, get, post


def test_calls_made_by_the_page_continue_the_message(served: Served) -> None:
    """After a call the page made, the answer goes on in the same message."""
    part = {"type": "tool-get_weather", "toolCallId": "a", "state": "output-available", "input": {}, "output": "Sunny"}
    found = frames(send(served, user(), user(id="m2", role="assistant", parts=[part]), model="demo:tool-call").content)
    assert "m2" == found[0]["messageId"]
    assert SENTENCE == text(found)


def test_last_message_alone(served: Served, upstream: DemoOllama) -> None:
    """A page that sends only its last message is answered."""
    upstream.answers["Why?"] = "Because."
    response = post(f"{served.url}/api/chat", json={"id": "chat-1", "message": user()})
    assert "Because." == text(frames(response.content))


def test_coming_back_replays_from_the_start(serve: Serve, settings: Settings) -> None:
    """Who comes back to a chat gets all of the answer that goes on, in the same message; where none does, 204."""
    served = serve(create_app(settings, chain=forever))
    url = f"{served.url}/api/chat/chat-1/stream"
    assert 204 == get(url).status_code
    with going(served) as (_, pieces, came), httpx.stream("GET", url, timeout=30) as again:
        assert "v1" == again.headers["x-vercel-ai-ui-message-stream"]
        post(f"{served.url}/api/chat/chat-1/stop")
        assert frames(came + b"".join(pieces)) == frames(b"".join(again.iter_raw()))
    assert 204 == get(url).status_code


def test_coming_back_to_a_continued_answer(served: Served, upstream: DemoOllama) -> None:
    """An answer that was cut and goes on is its chat's last one: a page gets the whole in the same message."""
    upstream.answers["Why?"] = lambda request: ["One, two, three", Pause(600)] if request.begun else ["One", Pause(600)]
    url = f"{served.url}/api/chat/chat-1"
    with going(served) as (first, pieces, _):
        post(f"{url}/stop")
        assert list(pieces)
    continued = post(f"{served.url}/runs/{first.headers['x-run-id']}/continue").json()["run_id"]
    with httpx.stream("GET", f"{url}/stream", timeout=30) as again:
        pieces, came = again.iter_raw(), b""
        while b"three" not in came:
            came += next(pieces)
        assert 202 == post(f"{url}/stop").status_code
        found = frames(came + b"".join(pieces))
    assert ("One, two, three", first.headers["x-run-id"]) == (text(found), found[0]["messageId"])
    assert continued == again.headers["x-run-id"]


def test_new_message_replaces_the_answer_that_goes_on(serve: Serve, settings: Settings) -> None:
    """A new message in a chat ends the answer before it, also where a caller may have one only."""
    served = serve(create_app(settings.change(max_caller_runs=1), chain=forever))
    with going(served) as (first, pieces, came), going(served) as (second, _, _):
        assert ["abort", "finish"] == types(frames(came + b"".join(pieces)))[-2:]
        state = get(f"{served.url}/runs/{second.headers['x-run-id']}").json()["state"]
        events = get(f"{served.url}/runs/{first.headers['x-run-id']}/events").text
    assert "running" == state
    assert '"by":"replaced"' in events


def test_chats_belong_to_their_caller(serve: Serve, settings: Settings) -> None:
    """Another caller's chat of the same id is another chat."""
    runs = Runs(settings)
    app = FastAPI()
    app.state.runs = runs
    who = lambda request: request.headers.get("x-user")  # noqa: E731
    app.include_router(create_router(forever, runs=runs, identify=who, protocols=["ai_sdk"]))
    served = serve(app)
    assert 404 == get(f"{served.url}/models", headers={"x-user": "ann"}).status_code
    url, ann, bob = f"{served.url}/api/chat", {"x-user": "ann"}, {"x-user": "bob"}
    assert 401 == post(url, json=body()).status_code
    with httpx.stream("POST", url, json=body(), headers=ann, timeout=30):
        assert 204 == get(f"{url}/chat-1/stream", headers=bob).status_code
        assert 204 == post(f"{url}/chat-1/stop", headers=bob).status_code
        assert 202 == post(f"{url}/chat-1/stop", headers=ann).status_code


def test_same_key_starts_one_run(serve: Serve, settings: Settings) -> None:
    """A request that a proxy repeats with its key neither starts nor replaces anything."""
    served = serve(create_app(settings, chain=forever))
    url, headers = f"{served.url}/api/chat", {"idempotency-key": "k"}
    with (
        httpx.stream("POST", url, json=body(), headers=headers, timeout=30) as first,
        httpx.stream("POST", url, json=body(), headers=headers, timeout=30) as again,
    ):
        assert first.headers["x-run-id"] == again.headers["x-run-id"]
        post(f"{url}/chat-1/stop")
