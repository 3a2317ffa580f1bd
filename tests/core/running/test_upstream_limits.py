"""An Ollama or a chain without end: a connect that hangs, a queue that stays full, a line, calls and data for ever."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from fastapi import FastAPI
from langchain_core.output_parsers import StrOutputParser

from llmstream.errors import UpstreamBusy, UpstreamProtocol
from llmstream.events import Failed, ToolCall
from llmstream.fastapi import create_app
from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.models import Ollama
from llmstream.settings import Settings
from tests.support.answering import WAYS, events_of, outline, raw_server, strict
from tests.support.faultkit import ask
from tests.support.reading import BODY, read, response

UNREACHABLE = [("failed", "upstream_unreachable", True)]
CUT = ("failed", "limit_exceeded", False)
# What shows that a setting is heeded: 0.1 s is set, the default is 5.
SHORTER_THAN_DEFAULT_S = 4
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
CALL = b'{"message":{"tool_calls":[{"function":{"name":"f","arguments":{"x":"%s"}}}]},"done":false}\n' % (b"y" * 1000)


@contextmanager
def hanging() -> Iterator[str]:
    """An address where something listens and takes no connection: its queue is full, so a connect waits for ever."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as stack:
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_a_connect_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """An Ollama that can't be connected to is told as unreachable after the connect timeout, on every way to it."""
    monkeypatch.setenv("LLMSTREAM_CONNECT_TIMEOUT_S", "0.1")
    with hanging() as url:
        monkeypatch.setenv("OLLAMA_HOST", url)
        async with asyncio.timeout(SHORTER_THAN_DEFAULT_S):
            answers = await asyncio.gather(*(events_of(**arguments("demo")) for arguments in WAYS.values()))

    assert [UNREACHABLE] * len(WAYS) == [outline(events) for events in answers]


def test_a_connect_that_hangs_is_a_status(serve: Callable[[FastAPI], Any]) -> None:
    """Over HTTP it is 502, wherever a question is asked."""
    with hanging() as url:
        settings = Settings(ollama_url=url, demo="never", model="demo", connect_timeout_s=0.1)
        served = serve(create_app(settings))
        for path in ("/runs", "/stream", "/stream-with-post", "/nostream"):
            refused = ask(f"{served.url}{path}", "POST", question="q", timeout_s=SHORTER_THAN_DEFAULT_S)
            assert (502, "upstream_unreachable") == (refused.status, refused.json["code"])


async def test_a_full_queue_that_answers_slowly_is_asked_less_often() -> None:
    """All retries together have a time: what the queue took to refuse counts, so there may be no third request."""
    busy = response(b'{"error":"server busy"}', status="503 Service Unavailable")
    waits_s = iter([0, 0.8, 0, 0])  # with the first pause, 0.25 s or more, there is no time for the next: 0.5 or more

    async def refuse(body: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(next(waits_s))
        writer.write(busy)

    async with raw_server(refuse) as (url, counts):
        with pytest.raises(UpstreamBusy):
            await Ollama(Endpoint(url=url, busy_timeout_s=1.5)).chat(BODY, print)

    assert 2 == sum(counts)


async def test_a_line_without_end_is_given_up() -> None:
    """Before it fills the memory it is no Ollama's any more; the lines before it are kept, the connection is closed."""
    sent: list[int] = []

    async def endless(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + b'{"message":{"content":"a"},"done":false}\n{"message":{"content":"')
        for _ in range(1024):
            writer.write(b"x" * 2**16)
            await writer.drain()
            sent.append(2**16)
        writer.close()

    async with raw_server(endless) as (url, _):
        chunks, error = await read(url)

    assert ["a"] == [chunk.message.content for chunk in chunks if chunk.message]
    assert isinstance(error, UpstreamProtocol)
    assert sum(sent) < 32 * 2**20


@pytest.mark.parametrize("parser", [False, True])
async def test_tool_calls_without_end_are_cut(parser: bool) -> None:
    """Calls count as the answer's bytes do, also behind a parser, where LangChain keeps them; the model is left."""
    left = asyncio.Event()

    async def endless(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        try:
            for _ in range(100_000):  # more than any buffer holds
                writer.write(CALL)
                await writer.drain()
                await asyncio.sleep(0)
            writer.write(b'{"message":{"content":""},"done":true,"done_reason":"stop"}\n')
        except ConnectionError:
            left.set()
            raise

    async with raw_server(endless) as (url, _):
        settings = Settings(max_run_bytes=50_000, demo="never")
        chain = strict("demo", base_url=url)
        events = await events_of(chain=chain | StrOutputParser() if parser else chain, settings=settings)
        await asyncio.wait_for(left.wait(), 10)

    assert CUT == outline(events)[-1]
    assert parser or 40 < sum(isinstance(event, ToolCall) for event in events) < 1_000


async def test_data_without_end_is_cut() -> None:
    """So does whatever else a chain hands out."""
    closed_after: list[int] = []

    async def endless(pieces: AsyncIterator[str]) -> AsyncIterator[list[str]]:
        count = 0
        try:
            for count in range(10_000):  # noqa: B007 - how far it came is what is asked
                yield ["y" * 1000]
        finally:
            closed_after.append(count)

    events = await events_of(chain=endless, settings=Settings(max_run_bytes=50_000, demo="never"))

    assert isinstance(events[-1], Failed)
    assert "limit_exceeded" == events[-1].code
    assert 40 < closed_after[0] < 100
