"""The owner: places and the queue, stopping, leaving, and exactly one terminal event whatever happens at once."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.runnables import Runnable, RunnableLambda

from llmstream.demo_ollama import DemoOllama
from llmstream.errors import Busy, KeyConflict, ModelNotFound, RunNotFound, ServerShutdown, TooManyRuns
from llmstream.events import Cancelled, Event, Failed, Finished, Started, Status, Token, is_terminal
from llmstream.runs.manager import Runs
from llmstream.runs.run import Run
from llmstream.settings import Settings
from tests.support.holding import said
from tests.support.serving import answer

SILENT = "demo:silent"


async def follow(run: Run, after: int = 0) -> list[Event]:
    """All events of a run, to its end."""
    return [event async for event in run.follow(after)]


async def until(run: Run, kind: type[Event]) -> Event:
    """The next event of a kind; the run is not kept by it."""
    follower = run.follower(idle_s=20, watching=False)
    try:
        async for batch in follower:
            for event in batch.events:
                if isinstance(event, kind):
                    return event
    finally:
        follower.close()
    raise AssertionError(f"no {kind.__name__} came")


async def until_text(run: Run, text: str) -> None:
    """Until the answer is this."""
    follower, found = run.follower(idle_s=20, watching=False), ""
    while found != text:
        found += answer((await anext(follower)).events)
    follower.close()


async def idle(upstream: DemoOllama) -> bool:
    """Whether Ollama has been left."""
    return await asyncio.to_thread(upstream.wait_idle)


async def active(upstream: DemoOllama, count: int = 1) -> bool:
    """Whether Ollama is at work on so many answers."""
    return await asyncio.to_thread(upstream.wait_active, count)


async def test_a_run_is_its_events(upstream: DemoOllama, settings: Settings) -> None:
    """Started first, then the text, one terminal event last."""
    upstream.answers["q"] = "Hello, you."
    events = await follow(await Runs(settings).start("q"))
    assert "Hello, you." == answer(events)
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert 1 == sum(is_terminal(event) for event in events)


async def test_a_run_can_be_read_again(upstream: DemoOllama, settings: Settings) -> None:
    """A run that has ended is there for anybody with its id, from any position."""
    runs = Runs(settings)
    run = await runs.start("q")
    events = await follow(run)
    assert events == await follow(await runs.get(run.id))
    assert events[3:] == await follow(await runs.get(run.id), after=3)
    assert (True, len(events)) == await run.position()


async def test_a_snapshot_adds_up(upstream: DemoOllama, settings: Settings) -> None:
    """State, text, thinking, usage and timings of a run."""
    run = await Runs(settings).start("q", model="demo:thinking", thinking=True)
    events = await follow(run)
    snapshot = await run.snapshot()
    assert ("finished", answer(events), "Let me think.") == (snapshot.state, snapshot.text, snapshot.reasoning)
    assert (len(events), "demo:thinking") == (snapshot.last_id, snapshot.model)
    assert isinstance(events[-1], Finished)
    assert (events[-1].usage, events[-1].timings, None) == (snapshot.usage, snapshot.timings, snapshot.error)


async def test_a_snapshot_of_each_state(upstream: DemoOllama, settings: Settings) -> None:
    """running, queued, cancelled and failed are told apart."""
    runs = Runs(settings.change(max_active_runs=1))
    first, second = await runs.start("q", model=SILENT), await runs.start("q")
    await until(second, Status)
    assert ["running", "queued"] == [(await run.snapshot()).state for run in (first, second)]
    await first.stop()
    await follow(second)
    failing = await runs.start("q", model="demo:error-line")
    await follow(failing)
    snapshot = await failing.snapshot()
    assert "cancelled" == (await first.snapshot()).state
    assert ("failed", True) == (snapshot.state, bool(snapshot.text))
    assert snapshot.error is not None
    assert "upstream_error" == snapshot.error["code"]


async def test_what_makes_an_answer_impossible_is_told_at_once(settings: Settings) -> None:
    """No run is begun for a model that isn't there."""
    runs = Runs(settings)
    with pytest.raises(ModelNotFound):
        await runs.start("q", model="missing")
    assert (0, {}) == (runs._places.active, runs._running)


async def test_runs_belong_to_their_caller(settings: Settings) -> None:
    """Another's run is not found, as one that never was."""
    runs = Runs(settings)
    run = await runs.start("q", caller="ann")
    assert run.id == (await runs.get(run.id, caller="ann")).id
    for unknown, caller in ((run.id, "bob"), (run.id, ""), ("0" * 32, "ann")):
        with pytest.raises(RunNotFound):
            await runs.get(unknown, caller=caller)


async def test_a_key_starts_one_run(upstream: DemoOllama, settings: Settings) -> None:
    """However often and however much at once."""
    runs = Runs(settings)
    started = await asyncio.gather(*(runs.start("q", request_key="k", fingerprint="f") for _ in range(8)))
    assert 1 == len({run.id for run in started})
    await follow(started[0])
    again = await runs.start("q", request_key="k", fingerprint="f")
    assert started[0].id == again.id
    with pytest.raises(KeyConflict):
        await runs.start("q", request_key="k", fingerprint="other")
    assert 1 == sum(record.path == "/api/chat" for record in upstream.requests)
    assert (0, []) == (runs._places.active, runs._places.queue)


async def test_a_key_used_twice_at_once_counts_once(settings: Settings) -> None:
    """A double click is neither refused by the caller's limit nor by full places."""
    runs = Runs(settings.change(max_caller_runs=1, max_active_runs=1, max_queued_runs=0))
    asked = [runs.start("q", caller="ann", request_key="k", model=SILENT) for _ in range(5)]
    assert 1 == len({run.id for run in await asyncio.gather(*asked)})
    await runs.drain(0)


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


async def settled(runs: Runs) -> bool:
    """Whether every place comes back."""
    async with asyncio.timeout(10):
        while runs._places.active or runs._places.queue:  # noqa: ASYNC110 - places tell nobody when they are free
            await asyncio.sleep(0)
    return True


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


def blocking(entered: threading.Event, release: threading.Event) -> RunnableLambda[Any, str]:
    """A chain of a sync function that says when it is entered, and returns when it is told to."""

    def slow(question: object) -> str:
        entered.set()
        release.wait(20)
        return "late"

    return RunnableLambda(slow)


async def test_a_stopped_sync_step_gives_its_place_back(settings: Settings) -> None:
    """A stop ends the run at once, and somebody else gets its place; its thread runs on, and its result is dropped."""
    runs = Runs(settings.change(max_active_runs=1))
    entered, release = threading.Event(), threading.Event()
    run = await runs.start("q", chain=blocking(entered, release))
    await asyncio.to_thread(entered.wait, 10)
    await run.stop()
    assert Cancelled("stop") == (await follow(run))[-1]
    second = await runs.start("q", model="demo:one-chunk")
    assert isinstance((await follow(second))[-1], Finished)
    release.set()
    assert [Cancelled("stop")] == (await follow(run))[1:]


def test_a_sync_step_is_warned_of_once() -> None:
    """In a process, by the names of the first chain's steps: a notebook makes runs and chains in every cell."""
    (line,) = said(_SYNC_STEPS)
    assert "sync functions in the chain: 'shout'" in line


_SYNC_STEPS = """
import asyncio, logging, sys
from llmstream import Runs

def shout(question):
    return question.upper()

def whisper(question):
    return question.lower()

async def main():
    for chain in (shout, shout, whisper):
        run = await Runs().start("q", chain=chain)
        assert [event async for event in run.follow()]

logging.basicConfig(level="WARNING", stream=sys.stdout)
asyncio.run(main())
"""


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


async def test_the_next_question_finds_the_place_free(settings: Settings) -> None:
    """Who has read the end of an answer and asks again is not refused."""
    runs = Runs(settings.change(max_active_runs=1, max_queued_runs=0))
    for _ in range(20):
        assert isinstance((await follow(await runs.start("q", model="demo:tokens-3")))[-1], Finished)


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


@pytest.mark.parametrize("kind", ["generator", "invoke only"])
async def test_whatever_is_sync_gives_its_place_back(settings: Settings, kind: str) -> None:
    """A sync generator, or a Runnable that can only be invoked, runs on after a stop without its place."""
    begun, release = threading.Event(), threading.Event()

    def blocked(question: Any) -> Iterator[str]:
        begun.set()
        release.wait(20)
        yield "late"

    class Blocked(Runnable[Any, str]):
        def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> str:
            return next(blocked(input))

    runs = Runs(settings.change(max_active_runs=1))
    run = await runs.start("q", chain=blocked if kind == "generator" else Blocked())
    assert await asyncio.to_thread(begun.wait, 20)
    await run.stop()
    second = await runs.start("q", model="demo")
    assert isinstance((await follow(second))[-1], Finished)
    release.set()


async def test_a_failed_sync_step_frees_its_place(settings: Settings) -> None:
    """At once, whatever its error still holds, for as long as the run can be read again."""
    runs = Runs(settings.change(max_active_runs=1))

    def fail(question: object) -> object:
        raise KeyError("x")

    failing = await runs.start("q", chain=RunnableLambda(fail) | RunnableLambda(fail))
    assert isinstance((await follow(failing))[-1], Failed)
    answering = await runs.start("q", chain=RunnableLambda(lambda question: "fine"))

    assert [Token("fine")] == [event for event in await follow(answering) if isinstance(event, Token)]


async def test_an_error_that_is_its_own_cause(settings: Settings) -> None:
    """Errors that go in a circle end the run as any other does."""

    def fail(question: object) -> object:
        error, cause = KeyError("x"), ValueError("y")
        error.__cause__, cause.__cause__ = cause, error
        raise error

    run = await Runs(settings).start("q", chain=RunnableLambda(fail))

    assert isinstance((await follow(run))[-1], Failed)
    assert (True, 2) == await run.position()
