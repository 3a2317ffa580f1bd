"""The end of a run: stopping, leaving, and exactly one terminal event whatever happens at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.errors import ServerShutdown
from llmstream.events import Cancelled, Event, Failed, Finished, is_terminal
from llmstream.runs.log import NewRun
from llmstream.runs.manager import Runs
from llmstream.runs.memory import MemoryLog
from llmstream.runs.run import Run
from llmstream.settings import Settings
from tests.support.followed_runs import SILENT, active, follow, idle, settled, until
from tests.support.serving import answer, generations


async def until_text(run: Run, text: str) -> None:
    """Until the answer is this."""
    follower, found = run.follower(idle_s=20, watching=False), ""
    while found != text:
        found += answer((await anext(follower)).events)
    follower.close()


async def test_stop_ends_every_watcher_and_frees_the_model(upstream: DemoOllama, settings: Settings) -> None:
    """All who watch see `cancelled`, what came before it is kept, and Ollama is left."""
    runs = Runs(settings)
    run = await runs.start("q", model="demo:stall-5")
    watching = [asyncio.create_task(follow(run)) for _ in range(3)]
    await until_text(run, " 1 2 3 4 5")
    assert await (await runs.get(run.id)).stop()
    endings = await asyncio.gather(*watching)
    assert [Cancelled("stop")] * 3 == [events[-1] for events in endings]
    assert [" 1 2 3 4 5"] * 3 == [answer(events) for events in endings]
    assert await idle(upstream)
    assert not await run.stop()


async def test_the_last_to_leave_ends_the_run(upstream: DemoOllama, settings: Settings) -> None:
    """After the grace time a run that nobody watches is cancelled, also before its first token."""
    runs = Runs(settings.change(grace_s=0.05))
    run = await runs.start("q", model=SILENT)
    assert await active(upstream)
    run.follower(idle_s=1).close()
    assert Cancelled("left") == await until(run, Cancelled)
    assert await idle(upstream)


async def test_a_run_that_continues_does_so_unwatched(upstream: DemoOllama, settings: Settings) -> None:
    """By choice a run outlives its watchers and is there when they come back."""
    runs = Runs(settings.change(grace_s=0))
    run = await runs.start("q", model="demo:slow-0.2", on_leave="continue")
    run.follower(idle_s=1).close()
    assert isinstance(await until(run, Finished), Finished)
    assert isinstance((await follow(run))[-1], Finished)


async def test_there_is_one_end_whatever_happens_at_once(upstream: DemoOllama, settings: Settings) -> None:
    """Stop, leaving, finishing and draining race; every run has one terminal event, and it is the last."""
    dice = random.Random(5)
    for number in range(100):
        runs = Runs(settings.change(grace_s=0, max_active_runs=2))
        runs_started = [await runs.start("q", model="demo:tokens-30") for _ in range(3)]
        for run in runs_started:
            followers = [run.follower(idle_s=20) for _ in range(2)]
            deeds: list[Callable[[], Any]] = [run.stop, *(follower.close for follower in followers)]
            dice.shuffle(deeds)
            for deed in deeds:
                for _ in range(dice.randrange(12)):
                    await asyncio.sleep(0)
                result = deed()
                if result is not None:
                    await result
        if number % 2:
            await runs.drain(0)
        for run in runs_started:
            events = [*await events_at_end(run)]
            assert [len(events) - 1] == [at for at, event in enumerate(events) if is_terminal(event)]
        assert await settled(runs)
    assert await idle(upstream)


async def events_at_end(run: Run) -> list[Event]:
    """All events of a run that ends, seen without watching it."""
    follower = run.follower(idle_s=20, watching=False)
    found = [event async for batch in follower for event in batch.events]
    follower.close()
    return found


async def test_a_run_stopped_while_it_starts_has_its_end(upstream: DemoOllama, settings: Settings) -> None:
    """A drain in the same moment as a start leaves no run without an end."""
    for steps in range(12):
        runs = Runs(settings)
        starting = asyncio.create_task(runs.start("q", model=SILENT))
        for _ in range(steps):
            await asyncio.sleep(0)
        await runs.drain(0)
        (started,) = await asyncio.gather(starting, return_exceptions=True)
        if isinstance(started, Run):
            assert [True] == [is_terminal(event) for event in (await events_at_end(started))[-1:]]
        else:
            assert isinstance(started, ServerShutdown)
    assert await idle(upstream)


class SlowStore(MemoryLog):
    """A log in which it takes a while to make room for a run, as in a store that is far away."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.answers = asyncio.Event(), asyncio.Event()

    async def create(self, run: NewRun) -> str:
        self.is_asked.set()
        await self.answers.wait()
        return await super().create(run)


async def test_draining_waits_for_what_is_being_created(upstream: DemoOllama, settings: Settings) -> None:
    """A run that its log has yet to make room for has its end when the drain is over, and asks no model."""
    before, log = generations(upstream), SlowStore()
    runs = Runs(settings, log=log)
    starting = asyncio.create_task(runs.start("q", model=SILENT))
    await log.is_asked.wait()
    draining = asyncio.create_task(runs.drain(0))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not draining.done()
    log.answers.set()
    await draining
    last = (await follow(await starting))[-1]
    assert isinstance(last, Failed)
    assert "server_shutdown" == last.code
    assert before == generations(upstream)


async def test_a_start_that_is_cancelled_leaves_nothing_behind(upstream: DemoOllama, settings: Settings) -> None:
    """Who gives up while a run is being started holds no place."""
    for steps in range(12):
        runs = Runs(settings.change(grace_s=0))
        starting = asyncio.create_task(runs.start("q", model="demo:tokens-5"))
        for _ in range(steps):
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting])
        await runs.drain()
        assert await settled(runs)


async def test_draining_lets_runs_finish(settings: Settings) -> None:
    """What ends within the drain time ends well; nothing new is begun meanwhile."""
    runs = Runs(settings)
    run = await runs.start("q", model="demo:slow-0.2")
    draining = asyncio.create_task(runs.drain(20))
    await asyncio.sleep(0)
    with pytest.raises(ServerShutdown):
        await runs.start("q")
    await draining
    assert isinstance((await follow(run))[-1], Finished)


async def test_draining_ends_what_does_not_finish(upstream: DemoOllama, settings: Settings) -> None:
    """Runs that go on, and those in the queue, fail with `server_shutdown`; what came is kept."""
    runs = Runs(settings.change(max_active_runs=1))
    running, queued = await runs.start("q", model="demo:stall-5"), await runs.start("q")
    await until_text(running, " 1 2 3 4 5")
    await runs.drain(0.01)
    for run in (running, queued):
        last = (await follow(run))[-1]
        assert isinstance(last, Failed)
        assert ("server_shutdown", True) == (last.code, last.retryable)
    assert " 1 2 3 4 5" == answer(await follow(running))
    assert await idle(upstream)


async def test_a_follower_that_stalls_holds_nobody_up(settings: Settings) -> None:
    """Who reads nothing slows neither the run nor another follower."""
    run = await Runs(settings).start("q", model="demo:tokens-5000")
    stalled = run.follower(idle_s=20)
    assert 5_002 == len(await follow(run))
    stalled.close()


async def test_draining_waits_for_the_models(upstream: DemoOllama, settings: Settings) -> None:
    """After it nothing goes on: no task, no place, no request; and the runs may be opened again."""
    runs = Runs(settings.change(max_active_runs=1))
    run = await runs.start("q", model=SILENT)
    await runs.drain(0)
    assert upstream.wait_idle(timeout_s=1)
    assert isinstance((await follow(run))[-1], Failed)
    with pytest.raises(ServerShutdown):
        await runs.start("q", model="demo")
    await runs.reopen()
    assert isinstance((await follow(await runs.start("q", model="demo")))[-1], Finished)
