"""The bytes of a stream: headers, first bytes, heartbeats, and early failures as real statuses."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import MEGABYTE, NEWLINES, SEPARATORS
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.faultkit import Exchange, ask, following, start
from tests.support.serving import Serve

HEADERS = {
    "content-type": "text/event-stream",
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
}


@pytest.fixture
def url(settings: Settings, serve: Serve) -> str:
    """A server that says something every 20 ms."""
    return str(serve(create_app(settings.change(drain_s=0, model="demo:tokens-3", heartbeat_s=0.02, hold_s=0.1))).url)


def stream_of(url: str, kind: str, **fields: Any) -> Exchange:
    """One of the endpoints that stream."""
    if kind == "GET":
        return Exchange(f"{url}/stream-with-get?question=q")
    if kind == "events":
        return Exchange(f"{url}/runs/{start(url, question='q', **fields)}/events")
    return Exchange(f"{url}{kind}", "POST", question="q", **fields)


@pytest.mark.parametrize("kind", ["GET", "events", "/stream", "/stream-with-post"])
def test_headers_and_first_bytes(kind: str, url: str) -> None:
    """Exactly these headers, a run id, a comment of one line first, and a blank line last."""
    stream = stream_of(url, kind).all()
    assert HEADERS == {name: stream.headers[name] for name in HEADERS}
    assert {"date", "vary", "x-run-id", "transfer-encoding", *HEADERS} == set(stream.headers)
    assert re.fullmatch(r"[0-9a-f]{32}", stream.headers["x-run-id"])
    assert re.match(rb": open\n(retry: \d+\n)?id: ", stream.body)
    assert stream.body.endswith(b"\n\n")
    assert b"\r" not in stream.body
    assert all(re.fullmatch(r"[0-9a-z-]{1,128}", message.id) for message in stream.messages)


@pytest.mark.parametrize("path", ["/stream-with-get?question=q", "/runs/{run}/events"])
def test_head_starts_nothing(path: str, url: str, upstream: DemoOllama) -> None:
    """HEAD has the headers of a stream, no body, and asks Ollama nothing."""
    answer = ask(url + path.replace("{run}", "0" * 32), "HEAD")
    assert (200, b"", HEADERS["content-type"]) == (answer.status, answer.body, answer.headers["content-type"])
    assert [] == [record for record in upstream.requests if record.path == "/api/chat"]


def test_options_starts_nothing(url: str, upstream: DemoOllama) -> None:
    """A preflight, and OPTIONS without one, ask Ollama nothing."""
    headers = {"origin": "http://localhost:5173", "access-control-request-method": "POST"}
    assert 200 == ask(f"{url}/stream", "OPTIONS", headers=headers).status
    assert 405 == ask(f"{url}/stream", "OPTIONS").status
    assert [] == upstream.requests


@pytest.mark.parametrize("kind", ["GET", "events", "/stream", "/stream-with-post"])
def test_heartbeats_before_the_first_token(kind: str, settings: Settings, serve: Serve) -> None:
    """While the model is silent a comment of one line comes again and again, which no client takes for a message."""
    quick = settings.change(drain_s=0, model="demo:silent", heartbeat_s=0.02, hold_s=0.05)
    with stream_of(serve(create_app(quick)).url, kind) as stream:
        stream.until(lambda exchange: exchange.body.count(b": ping\n") >= 3)
    assert b": ping\n\n" not in stream.body
    assert all(message.event in ("started", "status") for message in stream.messages)


def test_heartbeats_between_tokens(settings: Settings, serve: Serve) -> None:
    """Silence in the middle of an answer too; the text is what it was."""
    url = serve(create_app(settings.change(drain_s=0, heartbeat_s=0.02))).url
    run = start(url, question="q", model="demo:stall-3")
    with following(url, run) as stream:
        stream.until(lambda exchange: exchange.text == " 1 2 3")
        before = stream.body.count(b": ping\n")
        stream.until(lambda exchange: exchange.body.count(b": ping\n") >= before + 3)
        ask(f"{url}/runs/{run}/stop", "POST")
        stream.all()
    assert b": ping\n\n" not in stream.body
    assert ["started", "token", "token", "token", "cancelled"] == stream.types


def test_heartbeats_while_a_dialect_shows_nothing(settings: Settings, serve: Serve) -> None:
    """In the plain dialect thinking is silence, and silence has heartbeats."""
    model = settings.change(drain_s=0, model="demo:stall-1", heartbeat_s=0.02, hold_s=0.05)
    with Exchange(f"{serve(create_app(model)).url}/stream-with-get?question=q") as stream:
        stream.until(lambda exchange: exchange.body.count(b": ping\n") >= 3)


@pytest.mark.parametrize(
    ("model", "status", "code", "retryable"),
    [
        ("missing", 404, "model_not_found", False),
        ("demo:error-first", 502, "upstream_error", True),
        ("demo:html-502", 502, "upstream_protocol", False),
        ("demo:unload-always", 502, "upstream_empty", True),
    ],
)
def test_an_early_failure_is_a_status(
    model: str, status: int, code: str, retryable: bool, settings: Settings, serve: Serve
) -> None:
    """What fails before the first token has its own status and the three fields, not a stream."""
    url = serve(create_app(settings.change(hold_s=10, model=model))).url
    for kind in ("/stream", "/stream-with-post", "/nostream", "GET"):
        answer = stream_of(url, kind).all()
        assert (status, "application/json") == (answer.status, answer.headers["content-type"])
        assert (code, retryable) == (answer.json["code"], answer.json["retryable"])
        assert {"code", "message", "retryable"} == set(answer.json)
        assert "<" not in answer.json["message"]


def test_a_late_failure_is_an_event(url: str) -> None:
    """After the first token the status is 200 and what came is kept; the end says what happened."""
    stream = ask(f"{url}/stream", "POST", question="q", model="demo:cut")
    assert (200, "failed", "upstream_truncated") == (stream.status, stream.types[-1], stream.events[-1]["code"])
    assert stream.text
    assert stream.complete


def test_the_hold_ends(settings: Settings, serve: Serve) -> None:
    """A model that says nothing for the hold time opens the headers; a failure after that is an event."""
    url = serve(create_app(settings.change(hold_s=0.05, first_token_timeout_s=0.5))).url
    stream = ask(f"{url}/stream", "POST", question="q", model="demo:silent")
    assert (200, ["started", "failed"]) == (stream.status, [kind for kind in stream.types if kind != "status"])
    assert "upstream_timeout" == stream.events[-1]["code"]


def test_following_never_holds(settings: Settings, serve: Serve) -> None:
    """The events of a run that exists open at once."""
    url = serve(create_app(settings.change(drain_s=0, hold_s=600))).url
    run = start(url, question="q", model="demo:silent")
    with following(url, run) as stream:
        stream.until(lambda exchange: exchange.types == ["started"])


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("demo:newlines", NEWLINES),
        ("demo:separators", SEPARATORS),
        ("demo:split-surrogate", "a😀z"),
        ("demo:lone-surrogate", "a\ufffdz"),
        ("demo:bad-utf8", "a\ufffdb\ufffdz"),
        ("demo:megabyte", MEGABYTE),
    ],
)
def test_odd_texts(model: str, text: str, url: str) -> None:
    """Any text is identical, code point by code point; a large one comes in events of less than 16 kB."""
    stream = ask(f"{url}/stream", "POST", question="q", model=model)
    assert text == stream.text
    assert "finished" == stream.types[-1]
    assert max(len(frame) for frame in stream.body.split(b"\n\n")) < 16_000


def test_every_control_character(url: str, upstream: DemoOllama) -> None:
    """C0, C1, a BOM, the separators and NUL all come through in the native dialect."""
    text = "".join(map(chr, [*range(0xA0), 0xFEFF, 0x2028, 0x2029, 0x1F600]))
    upstream.answers["q"] = text
    assert text == ask(f"{url}/stream", "POST", question="q", model="demo").text


def test_httpx_sse_reads_the_same(url: str, upstream: DemoOllama) -> None:
    """A client nobody here wrote sees the same messages."""
    run = ask(f"{url}/stream", "POST", question="q").headers["x-run-id"]
    ours = ask(f"{url}/runs/{run}/events").messages
    with httpx.Client() as client, client.stream("GET", f"{url}/runs/{run}/events") as response:
        theirs = [(each.event, each.data, each.id) for each in EventSource(response).iter_sse()]
    assert theirs == [(each.event, each.data, each.id) for each in ours]
