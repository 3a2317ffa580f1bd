"""The hook behind a run that has ended: what it is told, that nobody waits for it, and that a drain does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import FastAPI

from llmstream.demo_ollama import DemoOllama
from llmstream.errors import ModelNotFound, SettingsError
from llmstream.events import Finished, Token
from llmstream.fastapi import create_app, create_router
from llmstream.runs.end_hook import EndedRun
from llmstream.runs.manager import Runs
from llmstream.runs.redis.log import RedisLog
from llmstream.runs.run import Run
from llmstream.settings import Settings
from tests.support.faultkit import ask, eventually
from tests.support.redis import RedisServer
from tests.support.serving import Served


class Book:
    """A hook that writes down what it is told."""

    def __init__(self) -> None:
        self.runs: list[EndedRun] = []
        self.written = asyncio.Event()

    async def __call__(self, run: EndedRun) -> None:
        """Notes a run."""
        self.runs.append(run)
        self.written.set()


async def followed(run: Run) -> list[Any]:
    """The events of a run, to its end."""
    return [event async for event in run.follow()]


async def test_it_is_told_the_whole_run(upstream: DemoOllama, settings: Settings) -> None:
    """The question, who asked, the text, the usage and the events as everybody else has seen them."""
    upstream.answers["Hi"] = "Hello, you."
    book = Book()
    runs = Runs(settings, on_end=book)
    run = await runs.start([{"role": "user", "content": "Hi"}], caller="ann", thread="t")
    events = await followed(run)
    await runs.drain()
    (told,) = book.runs
    assert (run.id, "ann", "Hi", "t") == (told.run_id, told.caller, told.question, told.thread)
    assert ("finished", "Hello, you.", events) == (told.state, told.text, told.events)
    assert isinstance(events[-1], Finished)
    assert events[-1].usage == told.usage


@pytest.mark.parametrize("question", ["q", {"question": "q"}, {"messages": [("user", "q")]}, [("user", "q")]])
async def test_the_question_is_its_text(question: Any) -> None:
    """In whatever form it was asked."""
    book = Book()
    runs = Runs(Settings(demo="never"), on_end=book)
    await followed(await runs.start(question, chain=lambda given: "a"))
    await runs.drain()
    assert ["q"] == [told.question for told in book.runs]


async def test_every_end_is_told_once(settings: Settings) -> None:
    """A stop, a failure, a shutdown; not a run that never was."""
    book = Book()
    runs = Runs(settings, on_end=book)
    stopped = await runs.start("q", model="demo:silent")
    await stopped.stop()
    await followed(await runs.start("q", model="demo:cut"))
    with pytest.raises(ModelNotFound):
        await runs.start("q", model="none")
    await runs.start("q", model="demo:silent")
    await runs.drain(0)
    assert ["cancelled", "failed", "failed"] == [told.state for told in book.runs]
    assert ["upstream_truncated", "server_shutdown"] == [told.error["code"] for told in book.runs if told.error]


async def test_the_client_does_not_wait_for_it(upstream: DemoOllama, settings: Settings) -> None:
    """A follower has the end, and the place is free, while the hook goes on."""
    gate = asyncio.Event()
    book = Book()

    async def slow(run: EndedRun) -> None:
        await gate.wait()
        await book(run)

    runs = Runs(settings.change(max_active_runs=1, max_queued_runs=0, drain_s=30), on_end=slow)
    for _ in range(2):
        assert isinstance((await followed(await runs.start("q")))[-1], Finished)
    assert [] == book.runs
    drain = asyncio.create_task(runs.drain())
    gate.set()
    await drain
    assert 2 == len(book.runs)


async def test_a_hook_that_raises_ends_nothing(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, with the run's id; the next run is told as well."""
    book = Book()

    def broken(run: EndedRun) -> None:
        book.runs.append(run)
        raise RuntimeError("no room on the disk")

    runs = Runs(settings, on_end=broken)
    for _ in range(2):
        assert isinstance((await followed(await runs.start("q")))[-1], Finished)
    await runs.drain()
    assert 2 == len(book.runs)
    assert f"on_end failed for the run {book.runs[0].run_id}" in caplog.text
    assert "no room on the disk" in caplog.text


async def test_a_sync_hook_runs_in_a_thread(settings: Settings) -> None:
    """So that a slow disk delays nobody."""
    threads: list[int] = []
    runs = Runs(settings, on_end=lambda run: threads.append(threading.get_ident()))
    await followed(await runs.start("q"))
    await runs.drain()
    assert 1 == len(threads)
    assert threading.get_ident() not in threads


async def test_a_hook_that_does_not_return_is_left(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """After the time of the drain."""
    left = asyncio.Event()

    async def endless(run: EndedRun) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    runs = Runs(settings, on_end=endless)
    await followed(await runs.start("q"))
    await runs.drain()
    await left.wait()
    assert "on_end has not returned for 1 runs" in caplog.text


async def test_where_runs_are_shared_the_owner_is_told(redis_server: RedisServer) -> None:
    """Once, also of a run that another process follows and stops."""
    shared = Settings(demo="never", redis_url=redis_server.url, redis_prefix="on_end")
    mine, other = Book(), Book()
    logs = [RedisLog(shared), RedisLog(shared)]
    owner, guest = (Runs(shared, log=log, on_end=book) for log, book in zip(logs, (mine, other), strict=True))

    async def endless(question: str) -> AsyncIterator[str]:
        yield "so"
        await asyncio.Event().wait()

    run = await owner.start("q", chain=endless)
    await logs[0].stored()
    seen = await guest.get(run.id)
    async for event in seen.follow():
        if isinstance(event, Token):
            await seen.stop()
    await mine.written.wait()
    await guest.drain(0)
    await owner.drain(0)
    assert [("cancelled", "so")] == [(told.state, told.text) for told in mine.runs]
    assert [] == other.runs


def test_over_http(upstream: DemoOllama, settings: Settings, serve: Callable[[FastAPI], Served]) -> None:
    """The app takes the hook, and whom `identify` names is the caller."""
    told: list[EndedRun] = []
    app = create_app(settings, on_end=told.append, identify=lambda request: request.headers.get("x-user"))
    url = serve(app).url
    ask(f"{url}/stream", "POST", headers={"x-user": "ann"}, question="q")
    assert eventually(lambda: told)
    assert [("ann", "q", "finished")] == [(run.caller, run.question, run.state) for run in told]


def test_one_place_for_the_hook(settings: Settings) -> None:
    """Runs that are shared have their own."""
    for make in (create_app, create_router):
        with pytest.raises(SettingsError, match="Runs\\(on_end"):
            make(runs=Runs(settings), on_end=print)
