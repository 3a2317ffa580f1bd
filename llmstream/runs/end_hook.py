"""The hook of an app behind each run that has ended: to store it, to bill it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from llmstream.concurrency import call
from llmstream.core.question.inputs import Input
from llmstream.core.question.question import question_text
from llmstream.events import Event
from llmstream.logger import logger
from llmstream.runs.run import Snapshot, snapshot


class EndedRun(Snapshot, frozen=True, kw_only=True):
    """A run that has ended: its sum, its events, and what was asked by whom.

    state: finished, failed, cancelled or interrupted. question: the text of the question, "" where a graph went on with
    a person's answer.
    """

    caller: str
    question: str
    thread: str | None
    events: Sequence[Event]


# Called once for each run, in the process that made it, after its end has been logged; who follows the run does not
# wait for it. A sync one runs in a thread.
OnEnd: TypeAlias = Callable[[EndedRun], Awaitable[None] | None]


class Record:
    """The part of a run that is kept for the hook while the run goes on."""

    def __init__(self, run_id: str, caller: str, question: Input, thread: str | None) -> None:
        self.events: list[Event] = []
        self._run_id, self._caller, self._question, self._thread = run_id, caller, question, thread

    def ended(self) -> EndedRun:
        """The whole run, once its last event is there."""
        whole = snapshot(self._run_id, self.events)
        return EndedRun(
            **{name: getattr(whole, name) for name in whole.__struct_fields__},
            caller=self._caller,
            question=question_text(self._question),
            thread=self._thread,
            events=self.events,
        )


class Ending:
    """Calls the hook for each run that has ended, and knows which calls are under way."""

    def __init__(self, on_end: OnEnd) -> None:
        self._on_end = on_end
        self._calls: set[asyncio.Task[None]] = set()

    def begin(self, record: Record) -> None:
        """Begins the call for a run."""
        task = asyncio.create_task(self._call(record.ended()))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _call(self, run: EndedRun) -> None:
        try:
            await call(self._on_end, run)
        except Exception:
            logger.exception("on_end failed for the run %s", run.run_id)

    async def wait(self, timeout_s: float) -> None:
        """Waits for the calls under way, at most for a time, and then ends those that are async."""
        if not self._calls:
            return
        try:
            await asyncio.wait(self._calls, timeout=timeout_s)
        finally:
            if left := len(self._calls):
                logger.error("on_end has not returned for %d runs, and is not waited for any more", left)
            for task in self._calls:
                task.cancel()
