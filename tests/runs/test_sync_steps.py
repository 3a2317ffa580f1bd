"""Steps of a chain that are not async: they give their places back, and are warned of."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.runnables import Runnable, RunnableLambda

from llmstream.events import Cancelled, Failed, Finished, Token
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from tests.support.followed_runs import follow
from tests.support.holding import said


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
