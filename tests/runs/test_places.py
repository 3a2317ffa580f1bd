"""Places and the queue: first come, first served, limits of a caller, and every place comes back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda

from llmstream.demo_ollama import DemoOllama
from llmstream.errors import Busy, TooManyRuns
from llmstream.events import Cancelled, Failed, Finished, Status
from llmstream.runs.manager import Runs
from llmstream.runs.run import Run
from llmstream.settings import Settings
from tests.support.followed_runs import SILENT, active, follow, idle, settled, until


async def test_130_starts(upstream: DemoOllama, settings: Settings) -> None:
    """50 run, 64 wait and see where, the rest are refused; as some end, the others move up."""
    runs = Runs(settings.change(max_active_runs=50, max_queued_runs=64))
    started: list[Run] = []
    refused: list[Busy] = []
    for _ in range(130):
        try:
            started.append(await runs.start("q", model=SILENT))
        except Busy as error:
            refused.append(error)
    assert (114, 16) == (len(started), len(refused))
    assert all(error.retry_after_s > 0 and error.retryable for error in refused)
    assert await active(upstream, 50)
    assert 50 == upstream.active
    positions = [await until(run, Status) for run in started[50:]]
    assert list(range(1, 65)) == [status.position for status in positions if isinstance(status, Status)]
    await started[0].stop()
    await started[51].stop()
    assert [11, 10, 9] == await positions_until(started[60], 9)
    await runs.drain(0)
    assert await idle(upstream)
    assert await settled(runs)


async def positions_until(run: Run, last: int) -> list[int | None]:
    """The positions in the queue that a run was told, up to this one."""
    follower = run.follower(idle_s=20, watching=False)
    found: list[int | None] = []
    while not found or found[-1] != last:
        found += [event.position for event in (await anext(follower)).events if isinstance(event, Status)]
    follower.close()
    return found


async def test_the_queue_is_in_order(upstream: DemoOllama, settings: Settings) -> None:
    """First come, first served, and every one is."""
    runs = Runs(settings.change(max_active_runs=1, max_queued_runs=10))
    begun: list[int] = []

    async def note(question: Any) -> str:
        begun.append(int(str(question)))
        return "ok"

    started = [await runs.start({"n": n}, chain=RunnableLambda(lambda x: x["n"]) | note) for n in range(8)]
    await asyncio.gather(*(follow(run) for run in started))
    assert list(range(8)) == begun
    assert await settled(runs)


@pytest.mark.parametrize("end", ["finish", "fail", "stop", "leave", "stop in the queue"])
async def test_a_place_is_given_back(end: str, upstream: DemoOllama, settings: Settings) -> None:
    """However a run ends, the next one gets its place."""
    runs = Runs(settings.change(max_active_runs=1, grace_s=0.05))
    model = {"finish": "demo:tokens-5", "fail": "demo:cut"}.get(end, SILENT)
    run = await runs.start("q", model=model)
    if end == "stop in the queue":
        waiting = await runs.start("q")
        assert await waiting.stop()
        assert [Cancelled("stop")] == (await follow(waiting))[-1:]
        await run.stop()
    elif end == "stop":
        await run.stop()
    elif end == "leave":
        run.follower(idle_s=1).close()
    await until(run, Finished | Failed | Cancelled)  # type: ignore[arg-type]
    assert isinstance((await follow(await runs.start("q", model="demo")))[-1], Finished)
    assert await settled(runs)


async def test_a_caller_has_a_limit_of_its_own(settings: Settings) -> None:
    """One caller's runs are counted, another's are not, and an ended one is not."""
    runs = Runs(settings.change(max_caller_runs=2))
    first = await runs.start("q", caller="ann", model=SILENT)
    await runs.start("q", caller="ann", model=SILENT)
    with pytest.raises(TooManyRuns):
        await runs.start("q", caller="ann")
    await follow(await runs.start("q", caller="bob"))
    await first.stop()
    await follow(await runs.start("q", caller="ann"))
    await runs.drain(0)


async def test_a_callers_limit_holds_for_starts_at_once(settings: Settings) -> None:
    """Asking ten times in the same moment starts no more than the limit."""
    runs = Runs(settings.change(max_caller_runs=2))
    asked = [runs.start("q", caller="ann", model=SILENT) for _ in range(10)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert 2 == sum(isinstance(result, Run) for result in results)
    await runs.drain(0)


async def test_the_next_question_finds_the_place_free(settings: Settings) -> None:
    """Who has read the end of an answer and asks again is not refused."""
    runs = Runs(settings.change(max_active_runs=1, max_queued_runs=0))
    for _ in range(20):
        assert isinstance((await follow(await runs.start("q", model="demo:tokens-3")))[-1], Finished)
