"""A run: its events, its sum, its caller, its key."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.runnables import RunnableLambda

from llmstream.demo_ollama import DemoOllama
from llmstream.errors import KeyConflict, ModelNotFound, RunNotFound
from llmstream.events import Failed, Finished, Started, Status, is_terminal
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from tests.support.followed_runs import SILENT, follow, until
from tests.support.serving import answer


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


async def test_an_error_that_is_its_own_cause(settings: Settings) -> None:
    """Errors that go in a circle end the run as any other does."""

    def fail(question: object) -> object:
        error, cause = KeyError("x"), ValueError("y")
        error.__cause__, cause.__cause__ = cause, error
        raise error

    run = await Runs(settings).start("q", chain=RunnableLambda(fail))

    assert isinstance((await follow(run))[-1], Failed)
    assert (True, 2) == await run.position()
