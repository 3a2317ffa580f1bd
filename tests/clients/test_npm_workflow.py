"""WorkflowChatTransport of the AI SDK's own package against the real server: it comes back to a chunk by its number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle

import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.faultkit import Fault, Proxy
from tests.support.npm import CLIENTS, EXACT, Clients, built, client_program, run_program
from tests.support.serving import Served

pytestmark = pytest.mark.timeout(360)  # the first test installs the packages


@pytest.fixture(scope="module")
def chats() -> Iterator[Clients]:
    """What the transport made of every scenario."""
    with client_program("workflow.mjs") as clients:
        yield clients


def test_text_is_exact(chats: Clients) -> None:
    """An answer comes to the letter in one request, and the transport knows that it has ended."""
    found = chats.found["exact"]
    assert (EXACT, "ready", 1) == (found["text"], found["status"], found["requests"])
    assert found["chunks"]


def test_failure_is_told_and_not_asked_for_again(chats: Clients) -> None:
    """Before the answer it is the server's sentence; later what came is kept, and the transport asks for no more."""
    early, late = chats.found["early_error"], chats.found["late_error"]
    assert "Failed to fetch chat: 404 The model 'nobody' is not there." in early["error"]["message"]
    assert ("error", 1) == (late["status"], late["requests"])
    assert "broke off" in late["error"]["message"]
    assert SENTENCE.startswith(late["text"])


def test_stop_ends_the_run(chats: Clients) -> None:
    """A run that was stopped, by the id that the transport knows, ends the stream, and the transport asks no more."""
    found = chats.found["stop"]
    assert ("ready", "stop", 1) == (found["status"], found["metadata"]["cancelled"], found["requests"])
    assert found["text"].startswith(" 1")
    assert chats.upstream.wait_idle()


def test_coming_back(chats: Clients) -> None:
    """A page that was opened anew gets all of the run by its id; from the end, the chunks that it asked for."""
    whole, tail = chats.found["whole"], chats.found["tail"]
    assert [whole["first"]["text"], "Let me think."] == [whole["again"]["text"], whole["again"]["reasoning"]]
    assert whole["first"]["id"] == whole["again"]["id"]
    for found in (whole, tail):
        assert (found["first"]["chunks"], 1) == (found["again"]["chunks"], found["again"]["requests"])
    assert "stop" == tail["again"]["metadata"]["reason"]
    assert not tail["again"]["reasoning"]


def closing(app: ASGIApp) -> ASGIApp:
    """The app with a connection for each request, so that no cut is left for the headers of the next one."""

    async def closed(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await app(scope, receive, send_closing)

    return closed


def test_cuts_are_mended(upstream: DemoOllama, serve: Callable[[FastAPI], Served]) -> None:
    """Cut at many places, every answer has the exact text, from one generation each."""
    app = create_app(Settings(ollama_url=upstream.url, demo="never"))
    app.add_middleware(closing)
    served = serve(app)
    sizes = range(1_500, 9_000, 61)  # of what comes through, after the headers
    faults = (Fault(cut_down=size, reset=size % 2 == 0) for size in cycle(sizes))
    with Proxy(served.url, faults) as proxy:
        found = run_program(built(CLIENTS) / "workflow.mjs", proxy.url, "", "demo:tokens-200", "30")["real"]
    expected = "".join(f" {n}" for n in range(1, 201))
    assert [(expected, "ready")] * 30 == [(each["text"], each["status"]) for each in found]
    assert proxy.connections > 60
    assert 30 == sum(request.path == "/api/chat" for request in upstream.requests)
