"""The strict reader, on the bytes of a real Ollama: whole, in pieces, cut anywhere."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.errors import UpstreamProtocol, UpstreamTruncated, UpstreamUnreachable
from llmstream.ollama.chat import read_chat
from llmstream.ollama.chunks import Chunk, LastChunk
from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.models import Ollama
from tests.support.answering import cut_off, raw_server
from tests.support.reading import BODY, read, response, sending
from tests.support.recordings import RECORDINGS, recording

ANSWERS = sorted(
    path.stem
    for path in RECORDINGS.glob("*.http")
    if path.read_bytes().endswith(b"0\r\n\r\n") and b'"done":true' in path.read_bytes() and path.stem != "generate"
)


def unchunked(data: bytes) -> bytes:
    """The body of a chunked answer, as much of it as has arrived."""
    _, _, rest = data.partition(b"\r\n\r\n")
    body = b""
    while rest:
        size, newline, rest = rest.partition(b"\r\n")
        if not newline or size == b"0":
            break
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return body


def expected_chunks(data: bytes) -> list[dict[str, Any]]:
    """What the whole lines of an answer say."""
    lines = unchunked(data).split(b"\n")[:-1]
    return [fields(json.loads(line)) for line in lines]


def fields(line: dict[str, Any]) -> dict[str, Any]:
    """The part of a line that the reader's chunks have."""
    message = line["message"]
    return {
        "content": message.get("content", ""),
        "thinking": message.get("thinking", ""),
        "tool_calls": message.get("tool_calls"),
        "done": line["done"],
        "end": (line.get("done_reason"), line.get("eval_count"), line.get("total_duration")) if line["done"] else None,
    }


def told(chunk: Chunk) -> dict[str, Any]:
    """The same of a chunk."""
    assert chunk.message is not None
    last = chunk if isinstance(chunk, LastChunk) else None
    return {
        "content": chunk.message.content,
        "thinking": chunk.message.thinking,
        "tool_calls": chunk.message.tool_calls,
        "done": chunk.done,
        "end": (last.done_reason, last.eval_count, last.total_duration) if last else None,
    }


@pytest.mark.parametrize("name", ANSWERS)
async def test_recording(name: str) -> None:
    """Every recorded answer is read whole: text, thoughts, tool calls, and how it ended."""
    data = recording(name)
    async with raw_server(sending(data)) as (url, _):
        chunks, error = await read(url)

    assert error is None
    assert expected_chunks(data) == [told(chunk) for chunk in chunks]
    assert isinstance(chunks[-1], LastChunk)


@pytest.mark.parametrize("name", ["chat-emoji", "tool-call", "thinking-then-tool-call"])
async def test_recording_in_segments_of_one_byte(name: str) -> None:
    """It makes no difference if each byte comes by itself."""
    data = recording(name)
    async with raw_server(sending(*(bytes([byte]) for byte in data))) as (url, _):
        chunks, error = await read(url)

    assert error is None
    assert expected_chunks(data) == [told(chunk) for chunk in chunks]


@pytest.mark.parametrize("name", ["chat-not-streamed", "thinking-not-streamed"])
async def test_answer_that_is_not_streamed(name: str) -> None:
    """With `stream: false` the one line, which has no newline, is the answer."""
    data = recording(name)
    async with raw_server(sending(data)) as (url, _):
        chunks, error = await read(url)

    assert error is None
    assert [fields(json.loads(data.partition(b"\r\n\r\n")[2]))] == [told(chunk) for chunk in chunks]


@pytest.mark.parametrize(
    ("name", "reset"),
    [
        ("chat-emoji", False),
        ("thinking-then-tool-call", True),
        ("chat-length", True),
        ("tool-call", False),
        ("tool-call", True),
    ],
)
async def test_cut_at_every_byte(name: str, reset: bool) -> None:
    """Wherever the connection breaks off, the whole lines before it are delivered, and no cut is taken for the end."""
    data = recording(name)
    positions = iter(range(len(data)))
    complete = data.index(b"\n", data.index(b'"done":true')) + 1  # the answer is there, only the body's end is not
    head = data.index(b"\r\n\r\n") + 4

    async def script(body: bytes, writer: asyncio.StreamWriter) -> None:
        position = json.loads(body)["position"]
        writer.write(data[:position])
        cut_off(writer, reset=reset)

    async def check(url: str) -> None:
        for position in positions:
            chunks, error = await read(url, body={**BODY, "position": position})
            lines = expected_chunks(data[:position])
            where = f"cut at {position}"
            assert lines == [told(chunk) for chunk in chunks], where
            if position >= complete:
                assert error is None, where
            elif position >= head:
                assert isinstance(error, UpstreamTruncated), where
            else:
                assert isinstance(error, UpstreamUnreachable | UpstreamProtocol), where

    async with raw_server(script) as (url, _):
        await asyncio.gather(*(check(url) for _ in range(20)))


async def test_lines_of_one_read_come_together(upstream: DemoOllama) -> None:
    """What arrives in one segment is handed over in one list."""
    reads: list[int] = []
    connection = Endpoint(url=upstream.url)
    await read_chat(connection, {**BODY, "model": "demo:one-chunk"}, lambda chunks: reads.append(len(chunks)))

    assert [15] == reads


async def test_version(upstream: DemoOllama) -> None:
    """The version tells that an Ollama answers; anything else does not."""
    web_page = response(b"<html>", kind="text/html")
    no_version = response(b"{}", kind="application/json")

    assert (await Ollama(Endpoint(url=upstream.url)).version()).endswith("-demo")
    for answer in (web_page, no_version):
        async with raw_server(sending(answer)) as (url, _):
            with pytest.raises(UpstreamProtocol):
                await Ollama(Endpoint(url=url)).version()
    async with raw_server(sending()) as (url, _):
        with pytest.raises(UpstreamUnreachable):
            await Ollama(Endpoint(url=url, connect_timeout_s=0.05)).version()
    with pytest.raises(UpstreamUnreachable, match="ollama serve"):
        await Ollama(Endpoint(url="http://127.0.0.1:9")).version()


@pytest.mark.parametrize("url", ["http://exa mple", "http://no-such-host.invalid:1"])
async def test_host_that_is_not_there(url: str) -> None:
    """An address with no host behind it is an Ollama that can't be reached."""
    _, error = await read(url)

    assert isinstance(error, UpstreamUnreachable)


async def test_lone_surrogate_in_a_question(upstream: DemoOllama) -> None:
    """Half a surrogate pair in the question becomes U+FFFD, and values of other types become text."""
    messages = [{"role": "user", "content": "a\ud83db"}]
    _, error = await read(
        upstream.url, body={"model": "demo:one-chunk", "messages": messages, "keep_alive": None, "format": {1, 2}}
    )

    assert error is None
    assert "a\ufffdb" == upstream.requests[-1].body["messages"][0]["content"]


def test_closing_in_threads(upstream: DemoOllama) -> None:
    """Each event loop has connections of its own, which are closed with it."""
    ends = [asyncio.run(read(upstream.url, body={**BODY, "model": "demo:one-chunk"}))[1] for _ in range(3)]

    assert [None, None, None] == ends
