"""What is no answer of Ollama's, and silence, for the strict reader."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.errors import (
    LlmstreamError,
    ModelNotFound,
    UpstreamBusy,
    UpstreamError,
    UpstreamProtocol,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamTruncated,
)
from llmstream.ollama.chunks import LastChunk, error_text
from llmstream.ollama.response import PromptTooLong
from llmstream.ollama.server_kinds import Disconnected, ProxyAnswered, ServerFailed
from tests.support.answering import Script, raw_server
from tests.support.reading import BODY, read, response, sending
from tests.support.recordings import recording


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"<html>", "200 OK", UpstreamProtocol),
        (b"\n", "200 OK", UpstreamProtocol),
        (b"null\n", "200 OK", UpstreamProtocol),
        (b"5\n", "200 OK", UpstreamProtocol),
        (b"[]\n", "200 OK", UpstreamProtocol),
        (b"{}\n", "200 OK", UpstreamProtocol),
        (b'{"message":5}\n', "200 OK", UpstreamProtocol),
        (b'{"message":{"content":5}}\n', "200 OK", UpstreamProtocol),
        (b'{"message":{},"done":"yes"}\n', "200 OK", UpstreamProtocol),
        (b'{"message":{"content":"\xff"}}\n', "200 OK", UpstreamTruncated),
        (b"", "200 OK", UpstreamTruncated),
        (b'{"message":{},"done":true}\n', "200 OK", UpstreamTruncated),
        (b'{"message":{},"done":true,"done_reason":null}\n', "200 OK", UpstreamTruncated),
        (b'{"done":true,"done_reason":""}\n', "200 OK", UpstreamTruncated),
        (b'{"error":"x"}\n', "200 OK", UpstreamError),
        (b'{"error":"x"}', "200 OK", UpstreamError),
        (b'{"error":{"code":5}}\n', "200 OK", UpstreamError),
        (b"<html>", "502 Bad Gateway", ProxyAnswered),
        (b"", "500 Internal Server Error", UpstreamProtocol),
        (b"[]", "400 Bad Request", UpstreamProtocol),
        (b'{"error":"x"}', "500 Internal Server Error", ServerFailed),
        (b'{"error":"x"}', "404 Not Found", ModelNotFound),
        (b"404 page not found", "404 Not Found", UpstreamProtocol),
        (b'{"error":"server busy"}', "503 Service Unavailable", UpstreamBusy),
        (b'{"error":"the input length exceeds the context length"}', "400 Bad Request", PromptTooLong),
    ],
)
async def test_what_is_not_an_answer(body: bytes, status: str, kind: type[LlmstreamError]) -> None:
    """Whatever comes instead of an answer has its own error, and nothing of it is shown."""
    async with raw_server(sending(response(body, status=status))) as (url, _):
        chunks, error = await read(url)

    assert kind is type(error)
    assert not any(chunk.done for chunk in chunks)
    assert "<" not in str(error)


async def test_what_is_not_http() -> None:
    """A server that doesn't speak HTTP is not an Ollama."""
    async with raw_server(sending(b"SSH-2.0-OpenSSH_9.6\r\n", then=lambda writer: writer.close())) as (url, _):
        _, error = await read(url)

    assert isinstance(error, UpstreamProtocol)


async def test_connection_that_closes_without_an_answer() -> None:
    """A connection that ends before an answer begins tells that a restart may be the reason."""
    async with raw_server(sending(then=lambda writer: writer.close())) as (url, _):
        _, error = await read(url)

    assert isinstance(error, Disconnected)


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (sending(), UpstreamTimeout),
        (sending(recording("chat")[:100]), UpstreamTimeout),
        (sending(recording("chat")[: recording("chat").index(b"\r\n\r\n") + 20]), UpstreamTimeout),
        (sending(recording("chat")[:600]), UpstreamStalled),
    ],
    ids=["no headers", "half headers", "half a line", "some lines"],
)
async def test_silence(script: Script, kind: type[LlmstreamError]) -> None:
    """Silence before the first line is a timeout, silence after it a stall; the connection is closed."""
    closed = asyncio.Event()

    async def watched(body: bytes, writer: asyncio.StreamWriter) -> None:
        await script(body, writer)
        watching.append(asyncio.ensure_future(_tell_closed(writer, closed)))

    watching: list[asyncio.Future[None]] = []
    async with raw_server(watched) as (url, _):
        chunks, error = await read(url, first_token_timeout_s=0.1, token_timeout_s=0.1)
        await asyncio.wait_for(closed.wait(), 1)

    assert kind is type(error)
    assert (kind is UpstreamStalled) == bool(chunks)


async def _tell_closed(writer: asyncio.StreamWriter, closed: asyncio.Event) -> None:
    with suppress(ConnectionError):
        await writer.wait_closed()
    closed.set()


async def test_trickle_is_no_silence() -> None:
    """An answer that comes slowly, but never as slowly as the limit, is whole, however long it takes."""
    with DemoOllama(tokens_per_s=10, scenarios=True) as upstream:
        body = {**BODY, "model": "demo:tokens-12"}
        chunks, error = await read(upstream.url, body=body, first_token_timeout_s=0.8, token_timeout_s=0.8)

    assert error is None
    last = chunks[-1]
    assert isinstance(last, LastChunk)
    assert last.total_duration is not None
    assert last.total_duration > 0.8e9


@pytest.mark.parametrize("tools", [False, True])
async def test_silence_while_a_tool_call_is_made(upstream: DemoOllama, tools: bool) -> None:
    """Where tools are given, silence in mid-answer is not a stall until the first token's limit is over."""
    body = {**BODY, "model": "demo:stall-1", **({"tools": [{}]} if tools else {})}
    _, error = await read(upstream.url, body=body, token_timeout_s=0.05, first_token_timeout_s=0.2)

    assert isinstance(error, UpstreamStalled)
    assert ("0.2 s" in str(error)) == tools


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("an error was encountered while running the model: unexpected EOF", True),
        ("model requires more system memory (8.0 GiB) than is available (4.0 GiB)", True),
        ("open /root/.ollama/x: an error was encountered while running the model", False),
        (r"C:\Users\ann: unexpected EOF", False),
        ("the prompt was: my secret", False),
        ({"message": "unexpected EOF"}, False),
        (None, False),
    ],
)
def test_only_known_texts_are_shown(text: object, shown: bool) -> None:
    """Ollama's own text reaches a person only where it is known and names no path."""
    assert (error_text(text) == text) == shown
