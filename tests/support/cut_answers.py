"""Answers that were cut, for another process to go on with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from llmstream.demo_ollama import DemoOllama, Pause
from llmstream.events import Event
from llmstream.runs.manager import Runs
from llmstream.runs.run import Run
from tests.support.serving import answer

COUNT = "One, two, three, four, five, six."
MakeRuns = Callable[..., Runs]


async def followed(run: Run) -> list[Event]:
    """All events of a run, to its end."""
    return [event async for event in run.follow()]


async def cut(runs: Runs, question: Any = "q", **arguments: Any) -> Run:
    """A run whose answer was cut, with all of it in the store."""
    model = {} if "chain" in arguments else {"model": "demo:length"}
    run = await runs.start(question, **{**model, **arguments})
    await followed(run)
    await runs.log.stored()  # type: ignore[attr-defined]
    return run


async def until_said(run: Run, words: str) -> AsyncGenerator[Event]:
    """The events of a run up to where it has said this."""
    said = ""
    async for event in run.follow():
        yield event
        said += answer([event])
        if said == words:
            return


async def begun(runs: Runs, upstream: DemoOllama, **arguments: Any) -> Run:
    """A run that has said a part of its answer, and waits; continued, it says the rest and waits."""
    upstream.answers["q"] = lambda request: [COUNT if request.begun else COUNT[:8], Pause(600)]
    run = await runs.start("q", model="demo", **arguments)
    async for _ in until_said(run, COUNT[:8]):
        pass
    return run


def asked_with(upstream: DemoOllama) -> list[Mapping[str, Any]]:
    """The requests for an answer."""
    return [request.body for request in upstream.requests if request.path == "/api/chat"]


def key_of(run: Run) -> str:
    """Where the question of a run is in the store."""
    return f"{{llmstream}}:1:r:{run.id}:q"
