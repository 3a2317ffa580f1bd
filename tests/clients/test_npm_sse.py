"""Clients that know server-sent events and nothing else, on the typed events: eventsource, eventsource-parser,
fetch-event-source, and httpx-sse for Python.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import httpx_sse
import pytest
from fastapi import FastAPI

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import NEWLINES, SENTENCE
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.browser import CuttingProxy
from tests.support.npm import CLIENTS, EXACT, Clients, built, client_program, real_answer, run_program
from tests.support.serving import Served

pytestmark = pytest.mark.timeout(360)  # the first test installs the packages

FETCH = "@microsoft/fetch-event-source"
PACKAGES = ("eventsource", "eventsource-parser", FETCH)


@pytest.fixture(scope="module", params=PACKAGES)
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    """What one of the packages made of every scenario; a short grace, because they stop by leaving."""
    with client_program("sse.mjs", request.param, grace_s=0.3) as clients:
        yield clients


def test_text_is_exact(clients: Clients) -> None:
    """Emoji, newlines and separators come through to the letter."""
    assert [EXACT, NEWLINES] == [clients.found[name]["text"] for name in ("exact", "newlines")]


def test_reasoning_is_apart(clients: Clients) -> None:
    """The thinking that was asked for is not part of the text."""
    found = clients.found["reasoning"]
    assert ("Let me think.", SENTENCE) == (found["reasoning"], found["text"])


def test_length_and_usage_are_told(clients: Clients) -> None:
    """An answer that met its limit says so, and how many tokens it took."""
    end = clients.found["length"]["end"]
    assert ("finished", "length", 5) == (end["type"], end["reason"], end["usage"]["output_tokens"])


def test_leaving_ends_the_run(clients: Clients) -> None:
    """Once the grace is over, an answer that nobody reads any more frees the model."""
    assert clients.found["stop"]["text"].startswith(" 1")
    assert "cancelled" == clients.found["stop"]["run"]
    assert clients.upstream.wait_idle()


@pytest.mark.parametrize(("scenario", "status"), [("early_error", 404), ("unreachable", 502)])
def test_early_error_is_a_status(clients: Clients, scenario: str, status: int) -> None:
    """A model that isn't there and an Ollama that is down are a status and a sentence."""
    error = clients.found[scenario]["error"]
    expected = {"early_error": "The model 'nobody' is not there.", "unreachable": "Ollama is not running at"}
    assert status == error["status"]
    assert error["message"].startswith(expected[scenario])


@pytest.mark.parametrize(("scenario", "code"), [("late_error", "upstream_error"), ("truncated", "upstream_truncated")])
def test_broken_answer_is_told(clients: Clients, scenario: str, code: str) -> None:
    """An answer that broke off keeps what came and ends with `failed`, never with a clean end alone."""
    found = clients.found[scenario]
    assert ("failed", code) == (found["end"]["type"], found["end"]["code"])
    assert found["text"]
    assert SENTENCE.startswith(found["text"])


@pytest.mark.parametrize("package", ["eventsource", FETCH])
def test_cut_is_mended(upstream: DemoOllama, serve: Callable[[FastAPI], Served], package: str) -> None:
    """Those that connect again by themselves have the exact text after a cut, from one generation."""
    served = serve(create_app(Settings(ollama_url=upstream.url, demo="never")))
    with CuttingProxy(served.url, before="id: [0-9a-f]+-100\n") as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        found = run_program(built(CLIENTS) / "sse.mjs", url, "", "demo:tokens-200", package)["real"]
        assert proxy.has_cut
    assert ("".join(f" {n}" for n in range(1, 201)), "finished") == (found["text"], found["end"]["type"])
    assert 1 == sum(request.path == "/api/chat" for request in upstream.requests)


def test_real_ollama(real_settings: Settings) -> None:
    """A real model's answer reaches the client as it reaches our own Python API."""
    found = real_answer("sse.mjs", real_settings, FETCH)
    assert (found["expected"], "finished") == (found["text"], found["end"]["type"])


@contextmanager
def reading(served: Served, *, after: str | None = None, **asked: Any) -> Iterator[httpx_sse.EventSource]:
    """A stream as httpx-sse opens it, or what comes in it after an id."""
    options = {"json": {"question": "x", **asked}, "headers": {"last-event-id": after} if after else {}}
    with (
        httpx.Client(timeout=30) as client,
        httpx_sse.connect_sse(client, "POST", f"{served.url}/stream", **options) as source,
    ):
        yield source


@pytest.fixture
def served(serve: Callable[[FastAPI], Served], upstream: DemoOllama) -> Served:
    """A server on the demo Ollama."""
    upstream.answers["exact"] = EXACT
    return serve(create_app(Settings(ollama_url=upstream.url, model="demo", demo="never", grace_s=0.1)))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"question": "exact"}, (EXACT, "", "finished", "stop")),
        ({"model": "demo:thinking", "thinking": True}, (SENTENCE, "Let me think.", "finished", "stop")),
        ({"model": "demo:length"}, ("The sky is blue because", "", "finished", "length")),
        ({"model": "demo:error-line"}, ("The sky is blue because", "", "failed", "upstream_error")),
        ({"model": "demo:no-done"}, (SENTENCE, "", "failed", "upstream_truncated")),
    ],
)
def test_httpx_sse(served: Served, asked: dict[str, Any], expected: tuple[str, ...]) -> None:
    """Text, thoughts and the end: a reason with the usage, or the code of what broke the answer off."""
    with reading(served, **asked) as source:
        events = [json.loads(event.data) for event in source.iter_sse()]
    text, thoughts = ("".join(e["text"] for e in events if e["type"] == kind) for kind in ("token", "reasoning"))
    end = events[-1]
    assert expected == (text, thoughts, end["type"], end.get("reason", end.get("code")))
    assert end["type"] == "failed" or end["usage"]["output_tokens"] > 0


def test_httpx_sse_leaves_and_comes_back(served: Served, upstream: DemoOllama) -> None:
    """By the last id comes exactly the rest; a status that is no stream raises; leaving frees the model."""
    with reading(served, model="demo:tokens-20") as source:
        whole = [(event.id, event.data) for event in source.iter_sse()]
    with reading(served, after=whole[9][0]) as source:
        assert whole[10:] == [(event.id, event.data) for event in source.iter_sse()]
    with reading(served, model="nobody") as source, pytest.raises(httpx_sse.SSEError):
        next(source.iter_sse())
    assert 404 == source.response.status_code
    with reading(served, model="demo:endless-100") as source:
        next(source.iter_sse())
    assert upstream.wait_idle()
