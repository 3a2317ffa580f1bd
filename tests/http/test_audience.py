"""What a failure says to whom: the developer at the server's own machine what to do, others a plain sentence."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app, create_router
from llmstream.settings import Settings
from tests.support.npm import NOBODY

HERE, THERE = "http://localhost", "http://chat.example.com"
TOKEN = {"authorization": "Bearer 0123456789abcdef0123456789abcdef"}
MESSAGES = [{"role": "user", "content": "Why?"}]
PARTS = [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "Why?"}]}]
ASKED: dict[str, dict[str, Any]] = {
    "/stream": {"question": "Why?"},
    "/stream-with-post": {"question": "Why?"},
    "/nostream": {"question": "Why?"},
    "/api/chat": {"id": "c", "messages": PARTS},
    "/agui": {"threadId": "t", "runId": "r", "messages": [{"id": "1", **MESSAGES[0]}]},
    "/v1/chat/completions": {"model": "demo", "messages": MESSAGES},
    "/v1/responses": {"model": "demo", "input": "Why?"},
    "/v1/messages": {"model": "demo", "messages": MESSAGES, "max_tokens": 100},
    "/ollama/api/chat": {"model": "demo", "messages": MESSAGES, "stream": False},
}


def own(settings: Settings) -> FastAPI:
    """An app of somebody's own, with the router in it and nothing set."""
    app = FastAPI()
    app.include_router(create_router(settings=settings))
    return app


# From a way to open a server to others to the app and the address that it is asked at.
OPEN: dict[str, tuple[Callable[[Settings], FastAPI], str]] = {
    "token": (lambda settings: create_app(settings.change(token=TOKEN["authorization"].split()[1])), HERE),
    "hosts": (lambda settings: create_app(settings.change(allowed_hosts=("chat.example.com",))), THERE),
    "origins": (lambda settings: create_app(settings.change(allowed_origins=(THERE,))), HERE),
    "callers": (lambda settings: create_app(settings, identify=lambda request: "ann"), HERE),
    "own app": (own, THERE),
}


async def said(app: FastAPI, url: str, path: str, *, client_ip: str = "127.0.0.1", **body: Any) -> str:
    """What a server answers, with what is in its streams."""
    transport = httpx.ASGITransport(app, client=(client_ip, 1))
    async with httpx.AsyncClient(transport=transport, base_url=url, headers=TOKEN) as client:
        answer = await (client.post(path, json=body) if body else client.get(path))
    return answer.text


def for_developers(text: str) -> list[str]:
    """What stands in a text that only who runs the server can use."""
    return [each for each in ("`", "ollama serve", "ollama pull", "127.0.0.1", "LLMSTREAM_") if each in text]


@pytest.mark.parametrize("path", ASKED)
async def test_developer_is_told_what_to_do(path: str) -> None:
    """With nothing set, by a loopback name, every dialect says where Ollama should be and how to start it."""
    app = create_app(Settings(ollama_url=NOBODY, model="demo", demo="never"))
    assert {"ollama serve", "127.0.0.1"} <= set(for_developers(await said(app, HERE, path, **ASKED[path])))


@pytest.mark.parametrize("way", OPEN)
async def test_others_are_told_plainly(way: str, caplog: pytest.LogCaptureFixture) -> None:
    """However a server is opened to others, no dialect gives away its commands and addresses; the log has them."""
    make, url = OPEN[way]
    app = make(Settings(ollama_url=NOBODY, model="demo", demo="never"))
    with caplog.at_level(logging.WARNING):
        for path, body in ASKED.items():
            text = await said(app, url, path, **body)
            assert "The model can't be reached. Ask again later." in text, (path, text)
            assert [] == for_developers(text), path
    assert "or start it with `ollama serve`" in caplog.text
    assert [] == for_developers(await said(app, url, "/models") + await said(app, url, "/health"))


async def test_a_name_alone_makes_nobody_the_developer() -> None:
    """Who asks from the internet is told plainly, whatever name the request has; a container's host is let in on it."""
    app = own(Settings(ollama_url=NOBODY, model="demo", demo="never"))
    told = [
        for_developers(await said(app, HERE, "/nostream", question="Why?", client_ip=ip))
        for ip in ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "172.17.0.1", "::1")
    ]
    assert [False, False, False, True, True] == [bool(each) for each in told]


async def test_late_failure(upstream: DemoOllama, caplog: pytest.LogCaptureFixture) -> None:
    """What broke an answer off is plain in the stream and in the run; a good answer is not touched."""
    app = OPEN["own app"][0](Settings(ollama_url=upstream.url, demo="never"))
    text = await said(app, THERE, "/stream", question="Why?", model="demo:error-line")
    data = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]
    message = "Ollama broke off the answer: it reported an error."
    assert ("upstream_error", message) == (data[-1]["code"], data[-1]["message"])
    snapshot = json.loads(await said(app, THERE, f"/runs/{data[-1]['run']}"))
    assert message == snapshot["error"]["message"]
    assert "`ollama serve` prints it" in caplog.text
    refused = json.loads(await said(app, THERE, "/stream", question="Why?", model="nobody"))
    assert "The model 'nobody' is not there." == refused["message"]


async def test_what_a_client_can_mend_is_told_to_anybody() -> None:
    """A request that can't be understood gets the same sentence everywhere."""
    settings = Settings(ollama_url=NOBODY, model="demo", demo="never")
    texts = [await said(own(settings), url, "/nostream", question=7) for url in (HERE, THERE)]
    assert texts[0] == texts[1]
    assert "question" in texts[0]
