"""Parsers and clients of npm against the real server: what they make of a stream is what ours makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import NEWLINES, SENTENCE
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.browser import CuttingProxy
from tests.support.golden import WIRE
from tests.support.parsers import Message, alike, node, ours, parsed
from tests.support.serving import Serve, Served, answer, native_events, plain_answer, post

pytestmark = pytest.mark.timeout(180)  # the first test installs the packages

PACKAGES = ("eventsource-3", "eventsource-4")
QUESTION = "Was ist 1 + 1?"
ANSWER = "  naïve\n\n\n    日本語 👩\u200d👩\u200d👧\u200d👦 👍🏽\n\n| a |\n|---|\n: ping\ndata: x\n\n"


def server(serve: Serve, upstream: DemoOllama, **changes: Any) -> Served:
    """The whole app for an upstream."""
    return serve(create_app(Settings(ollama_url=upstream.url, demo="never").change(**changes)))


def test_every_parser_sees_the_same_messages(upstream: DemoOllama, serve: Serve, tmp_path: Path) -> None:
    """The native and the plain stream are parsed alike, in whatever chunks they arrive."""
    upstream.answers[QUESTION] = ANSWER
    served = server(serve, upstream)
    native = post(f"{served.url}/stream", {"question": QUESTION}).content
    plain = post(f"{served.url}/stream-with-post", {"question": QUESTION}).content
    assert (answer(native_events(native)), plain_answer(plain)) == (ANSWER, ANSWER)
    for chunk_size in (1, 7, 0):
        assert parsed(tmp_path, native, plain, chunk_size=chunk_size) == alike(native, plain)


def test_every_kind_of_newline_reaches_every_parser(upstream: DemoOllama, serve: Serve, tmp_path: Path) -> None:
    """In the native stream no character of a text can end a line."""
    served = server(serve, upstream, model="demo:newlines")
    body = post(f"{served.url}/stream", {"question": "x"}).content
    found = parsed(tmp_path, body)
    assert found == alike(body)
    events = [json.loads(message["data"]) for message in found[0]["fetch-event-source"]]
    assert "".join(event["text"] for event in events if event["type"] == "token") == NEWLINES


def test_heartbeats_are_no_messages(upstream: DemoOllama, serve: Serve, tmp_path: Path) -> None:
    """Silence before the first token is filled with comments that no parser takes for a message."""
    served = server(serve, upstream, model="demo:slow-0.3", hold_s=0.05, heartbeat_s=0.02)
    bodies = [post(f"{served.url}/{path}", {"question": "x"}).content for path in ("stream", "stream-with-post")]
    assert parsed(tmp_path, *bodies) == alike(*bodies)
    for body in bodies:
        assert b": ping\n" in body
        assert b": ping\n\n" not in body
        assert all(message["data"] or message["event"] == "done" for message in ours(body))


def test_a_failure_in_mid_stream_is_a_message(upstream: DemoOllama, serve: Serve, tmp_path: Path) -> None:
    """Every parser sees the error at the end of a native and of a plain stream."""
    served = server(serve, upstream, model="demo:error-line")
    bodies = [post(f"{served.url}/{path}", {"question": "x"}).content for path in ("stream", "stream-with-post")]
    found = parsed(tmp_path, *bodies)
    assert found == alike(*bodies)
    assert [each["eventsource-parser"][-1]["event"] for each in found] == ["failed", "FatalError"]


def test_every_parser_reads_the_transcripts_alike() -> None:
    """The recorded streams mean the same to all."""
    # Ollama's own dialect is no SSE, and the plain one can't hold every newline for fetch-event-source.
    apart = {"plain_newlines.txt", *(path.name for path in WIRE.glob("ollama_*"))}
    paths = sorted(path for path in WIRE.glob("*.txt") if path.name not in apart)
    assert paths
    assert node("messages.mjs", "0", *paths) == alike(*(path.read_bytes() for path in paths))


def at_once(follow: Callable[[str], list[Message]]) -> list[list[Message]]:
    """What each package's EventSource gets; side by side, because each waits three seconds to connect again."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(follow, PACKAGES))


def test_an_event_source_of_npm_goes_on_after_a_cut(upstream: DemoOllama, serve: Serve) -> None:
    """The package connects again by itself and ends with the exact text, from one generation."""
    upstream.answers[QUESTION] = ANSWER
    served = server(serve, upstream)

    def follow(package: str) -> list[Message]:
        with CuttingProxy(served.url, before="id: [^\n]*\ndata: [^\n]*👩") as proxy:
            url = f"http://127.0.0.1:{proxy.port}/stream-with-get?question={quote(QUESTION)}"
            found: list[Message] = node("follow.mjs", package, url, "FatalError", "done")
            assert proxy.has_cut
        return found

    for found in at_once(follow):
        assert "".join(message["data"] for message in found) == ANSWER
        assert [message["event"] for message in found if message["event"] != "message"] == ["done"]
    assert sum(request.path == "/api/chat" for request in upstream.requests) == len(PACKAGES)


def test_an_event_source_of_npm_follows_a_run(upstream: DemoOllama, serve: Serve) -> None:
    """The native stream of a run: every event once, over a cut, with the numbers in order."""
    served = server(serve, upstream, model="demo:tokens-200")
    run = post(f"{served.url}/runs", {"question": "x"}).json()

    def follow(package: str) -> list[Message]:
        with CuttingProxy(served.url, before=f"id: {run['run_id']}-100\n") as proxy:
            url = f"http://127.0.0.1:{proxy.port}{run['events_url']}"
            found: list[Message] = node("follow.mjs", package, url, "started", "status", "token", "failed", "finished")
            assert proxy.has_cut
        return found

    for found in at_once(follow):
        assert [message["id"] for message in found] == [f"{run['run_id']}-{n + 1}" for n in range(len(found))]
        text = "".join(json.loads(message["data"]).get("text", "") for message in found)
        assert text == "".join(f" {n}" for n in range(1, 201))


def test_an_event_source_of_npm_that_nobody_closes_stops(upstream: DemoOllama, serve: Serve) -> None:
    """After the end it asks once more, is told 204, and closes itself."""
    served = server(serve, upstream, model="demo:one-chunk")
    url = f"{served.url}/stream-with-get?question=x"
    for found in at_once(lambda package: node("follow.mjs", package, url, "done", "closed")):
        assert "".join(message["data"] for message in found) == SENTENCE
    assert sum(request.path == "/api/chat" for request in upstream.requests) == len(PACKAGES)
