"""A run that is followed from before its beginning: stopped, left and refused while it is only being started."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing

import pytest

from llmstream.errors import UpstreamUnreachable
from llmstream.events import Cancelled, Event, Finished, Started
from llmstream.runs.following import Following
from llmstream.runs.manager import Runs
from llmstream.runs.run import Run
from llmstream.settings import Settings

IDLE_S = 0.01
LIMIT_S = 30


class Starting:
    """The start of a run that waits until it may; ended: set when the chain of the run was let go."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self.may, self.ended = asyncio.Event(), asyncio.Event()
        self.run: asyncio.Future[Run] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> Run:
        await self.may.wait()
        self.run.set_result(await self._runs.start("hi", chain=self._endless, grace_s=0))
        return self.run.result()

    async def _endless(self, question: object) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()
        return ""


@pytest.fixture
def runs() -> Runs:
    return Runs(Settings(demo="never"))


async def events_of(following: Following) -> list[Event]:
    async with aclosing(following.lists(IDLE_S)) as lists:
        return [event async for events in lists for event in events]


async def ended_by(starting: Starting) -> str:
    """Why a run that is let begin only now ends."""
    starting.may.set()
    run = await asyncio.wait_for(starting.run, LIMIT_S)
    events = [event async for event in run.follow()]
    assert isinstance(events[-1], Cancelled)
    return events[-1].by


async def test_it_is_started_and_followed(runs: Runs) -> None:
    """All its events come, and its id is known."""
    following = Following(lambda: runs.start("hi", chain=lambda question: "there"))
    assert following.run_id == ""

    events = await events_of(following)

    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert following.run is not None
    assert following.run_id == following.run.id


async def test_an_empty_list_comes_in_silence(runs: Runs) -> None:
    """Who shows it can look round while it is being started, and while it says nothing."""
    starting = Starting(runs)
    following = Following(starting)
    lists = following.lists(IDLE_S)
    assert [] == await anext(lists) == await anext(lists)

    starting.may.set()
    async with aclosing(lists):
        async for events in lists:
            if events:
                break

    assert isinstance(events[0], Started)


async def test_stopped_before_it_has_begun(runs: Runs) -> None:
    """It ends at once for who shows it, and the run is stopped as soon as it has begun."""
    starting = Starting(runs)
    following = Following(starting)
    lists = following.lists(IDLE_S)
    assert [] == await anext(lists)
    thread = threading.Thread(target=following.stop)
    thread.start()

    rest = [event async for events in lists for event in events]
    thread.join()

    assert [Cancelled("stop")] == rest
    assert await ended_by(starting) == "stop"


async def test_stopped_before_it_was_asked_for(runs: Runs) -> None:
    """A stop that comes before the first list counts."""
    starting = Starting(runs)
    following = Following(starting)
    following.stop()

    assert [Cancelled("stop")] == await events_of(following)


async def test_left_before_it_has_begun(runs: Runs) -> None:
    """The run of one who went is stopped as soon as it has begun."""
    starting = Starting(runs)
    lists = Following(starting).lists(IDLE_S)
    assert [] == await anext(lists)
    await lists.aclose()

    assert await ended_by(starting) == "left"


async def test_stopped_while_it_answers(runs: Runs) -> None:
    """Its chain is let go, and its last event tells of the stop."""
    starting = Starting(runs)
    following = Following(starting)
    starting.may.set()
    events: list[Event] = []
    async with aclosing(following.lists(IDLE_S)) as lists:
        async for more in lists:
            events += more
            if following.run is not None:
                following.stop()
    await asyncio.wait_for(starting.ended.wait(), LIMIT_S)

    assert Cancelled("stop") == events[-1]


async def test_what_makes_it_impossible_is_raised(runs: Runs) -> None:
    """Where nothing answers, there is no run."""
    following = Following(lambda: runs.start("hi"))
    with pytest.raises(UpstreamUnreachable):
        await events_of(following)

    assert following.run is None
