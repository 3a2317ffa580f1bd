"""Answers that are cut, and what they were asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmstream.events import Continued, Event
from llmstream.runs.manager import Runs
from llmstream.runs.run import Run
from tests.support.serving import answer

COUNT = "One, two, three, four, five, six."


async def followed(run: Run) -> list[Event]:
    """All events of a run, to its end."""
    return [event async for event in run.follow()]


async def cut(runs: Runs, question: Any = "q", **arguments: Any) -> Run:
    """A run whose answer was cut."""
    run = await runs.start(question, **arguments)
    await followed(run)
    return run


def texts(events: Sequence[Event]) -> tuple[str, str]:
    """The text before and after the seam."""
    seam = max(place for place, event in enumerate(events) if isinstance(event, Continued))
    return answer(events[:seam]), answer(events[seam:])
