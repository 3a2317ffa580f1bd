"""How the reader uses connections: one serves again, whoever leaves closes his, and any number may be open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from llmstream.concurrency import pulled
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.errors import UpstreamBusy, UpstreamStalled
from llmstream.ollama.chat import read_chat
from llmstream.ollama.chunks import Chunk
from llmstream.ollama.endpoint import Endpoint
from tests.support.answering import raw_server
from tests.support.reading import BODY, read, response, sending


async def test_connection_serves_again(upstream: DemoOllama) -> None:
    """Answers one after the other come over one connection, also when one of them was refused."""
    data = response(b'{"message":{"content":"a"},"done":true,"done_reason":"stop"}\n')
    busy = response(b'{"error":"busy"}', status="503 Service Unavailable")
    answers = iter([data, busy, data, data])

    async def script(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(next(answers))

    async with raw_server(script) as (url, counts):
        ends = [type((await read(url))[1]) for _ in range(4)]

    assert [type(None), UpstreamBusy, type(None), type(None)] == ends
    assert [4] == counts


@pytest.mark.parametrize("more", [b"", b'{"message":{"content":"more"},"done":false}\n'])
async def test_connection_that_does_not_end_is_not_used_again(more: bytes) -> None:
    """A server that goes on after the end, with more lines or with silence, loses the connection."""
    line = b'{"message":{"content":"a"},"done":true,"done_reason":"stop"}\n'
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with raw_server(
        sending(head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (line, more) if part))
    ) as (
        url,
        counts,
    ):
        answers = [await read(url) for _ in range(2)]

    assert [(1, None), (1, None)] == [(len(chunks), error) for chunks, error in answers]
    assert [1, 1] == counts


async def _close(reads: Any) -> None:
    await reads.aclose()


async def _drop(reads: Any) -> None:
    del reads
    await asyncio.sleep(0)


@pytest.mark.parametrize("leave", [_close, _drop], ids=["aclose", "reference dropped"])
async def test_leaving_closes_the_connection(upstream: DemoOllama, leave: Callable[[Any], Awaitable[None]]) -> None:
    """Whoever leaves in mid-answer makes Ollama stop."""
    body = {**BODY, "model": "demo:stall-1"}
    reads: AsyncGenerator[list[Chunk], None] = pulled(
        lambda receive: read_chat(Endpoint(url=upstream.url), body, receive)
    )
    [first] = await anext(reads)
    reading, reads = reads, None  # type: ignore[assignment]
    leaving, reading = leave(reading), None  # type: ignore[assignment]
    await leaving

    assert first.message is not None
    assert " 1" == first.message.content
    assert await asyncio.to_thread(upstream.wait_idle, timeout_s=1)
    assert upstream.requests[-1].closed


@pytest.mark.parametrize("model", ["demo:silent", "demo:stall-1"])
async def test_cancelling_closes_the_connection(upstream: DemoOllama, model: str) -> None:
    """A cancelled task makes Ollama stop, also before the first token."""
    task = asyncio.create_task(read(upstream.url, body={**BODY, "model": model}))
    assert await asyncio.to_thread(upstream.wait_active)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await asyncio.to_thread(upstream.wait_idle, timeout_s=1)
    assert upstream.requests[-1].closed


async def test_more_than_a_hundred_at_once(upstream: DemoOllama) -> None:
    """150 answers that hang don't keep the next one waiting."""
    hanging = [asyncio.create_task(read(upstream.url, body={**BODY, "model": "demo:stall-1"})) for _ in range(150)]
    assert await asyncio.to_thread(upstream.wait_active, 150)
    chunks, error = await read(upstream.url, body={**BODY, "model": "demo:one-chunk"})
    for task in hanging:
        task.cancel()
    await asyncio.wait(hanging)

    assert error is None
    assert SENTENCE == "".join(chunk.message.content or "" for chunk in chunks if chunk.message)
    assert await asyncio.to_thread(upstream.wait_idle)


async def test_who_takes_long_is_not_flooded(upstream: DemoOllama) -> None:
    """What nobody has asked for waits at the server, and comes when it is asked for; none of it is a silence."""
    line = b'{"message":{"content":"%s"},"done":false}\n' % (b"a" * 1000)
    lines, sent = 20_000, 0

    async def script(body: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while sent < lines:
            writer.write(line)
            sent += 1
            await writer.drain()
        writer.write(b'{"message":{},"done":true,"done_reason":"stop"}\n')
        writer.close()

    async with raw_server(script) as (url, _):
        connection = Endpoint(url=url, token_timeout_s=0.2)
        taken: list[Chunk] = []
        reads: AsyncGenerator[list[Chunk], None] = pulled(lambda receive: read_chat(connection, BODY, receive))
        async with aclosing(reads):
            taken += await anext(reads)
            unchanged, before = 0, 0
            while unchanged < 1000:  # turns of the loop, in which the server would go on if it could
                await asyncio.sleep(0)
                unchanged, before = (unchanged + 1 if sent == before else 0), sent
            held = sent
            # Who takes long takes longer than a model may: another answer is given up meanwhile.
            _, silence = await read(upstream.url, body={**BODY, "model": "demo:stall-1"}, token_timeout_s=0.4)
            assert isinstance(silence, UpstreamStalled)
            async for chunks in reads:
                taken += chunks

    assert held < lines
    assert lines + 1 == len(taken)
