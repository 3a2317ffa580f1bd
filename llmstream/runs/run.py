"""A handle on one run, and what a run adds up to."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from llmstream.errors import RunNotFound
from llmstream.events import CancelledBy, Event, Failed, FinishReason, Interrupt, Status, Timings, Usage
from llmstream.runs.log import Follower, RunInfo, RunLog
from llmstream.view.answer import AnswerText
from llmstream.view.ending import end_state

if TYPE_CHECKING:
    from llmstream.runs.manager import Runs

OnLeave = Literal["cancel", "continue"]
RunState = Literal["queued", "running", "finished", "failed", "cancelled", "interrupted"]

_NEVER_S = 3600.0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it is now: the messages that stand; `last_id` is the number of its last event.

    reason: why the model ended, where the run is finished: it is complete, or was cut (`length`, `content_filter`).
    interrupts: what the graph wants to know from a person, where it waits for one.
    """

    run_id: str
    state: RunState
    text: str = ""
    reasoning: str = ""
    last_id: int = 0
    model: str = ""
    usage: Usage | None = None
    timings: Timings | None = None
    error: dict[str, Any] | None = None
    interrupts: list[Interrupt] | None = None
    reason: FinishReason | None = None


class Run:
    """A handle on one run; cheap, and there may be many. found: what was known of it when it was looked for."""

    def __init__(self, log: RunLog, run_id: str, runs: Runs, found: RunInfo | None = None) -> None:
        self.id = run_id
        self.found = found
        self._log = log
        self._runs = runs

    async def follow(self, after: int = 0) -> AsyncGenerator[Event, None]:
        """The events after number `after`, and then those to come, up to the terminal one.

        Events are numbered 1, 2, 3 … without gaps, so a follower knows its position by counting. Raises `RunNotFound`,
        or `PositionLost` where not every event after the position is there.
        """
        follower = self.follower(after)
        try:
            async for batch in follower:
                for event in batch.events:
                    yield event
        finally:
            follower.close()

    def follower(
        self, after: int = 0, *, idle_s: float = _NEVER_S, watching: bool = True, at_least: int = 0
    ) -> Follower:
        """Batches of events, and an empty one after `idle_s` seconds of silence; to be closed. See `RunLog.follow`."""
        return self._log.follow(self.id, after, idle_s=idle_s, watching=watching, at_least=at_least)

    async def position(self) -> tuple[bool, int]:
        """The state of the run: True if it has ended, and the number of its last event."""
        info = await self._log.info(self.id)
        if info is None:
            raise RunNotFound
        return info.ended, info.last

    async def has_ended(self) -> bool:
        """True if the run has ended; where its owner seems to have died, waits until that is sure."""
        await self._log.settle(self.id)
        return (await self.position())[0]

    async def stop(self, by: CancelledBy = "stop") -> bool:
        """Ends the run and frees the model; False where it had ended."""
        return await self._log.cancel(self.id, by)

    async def continue_(self) -> Run:
        """A new run that begins with what this one said, and goes on from where it was cut.

        See `Runs.continue_run`.
        """
        info = await self._log.info(self.id, allow_stale=True)
        return await self._runs.continue_run(self.id, caller=info.caller if info is not None else "")

    async def snapshot(self) -> Snapshot:
        """The run as it is now; raises `RunNotFound`."""
        events, last = await self.recorded()
        return snapshot(self.id, events, last)

    async def recorded(self) -> tuple[list[Event], int]:
        """The events so far, and the number of the last one; raises `RunNotFound`."""
        _, end = await self.position()
        events: list[Event] = []
        last = 0
        follower = self.follower(watching=False)
        try:
            while last < end:
                batch = await anext(follower)
                events += batch.events
                last = batch.first + len(batch.events) - 1
        except StopAsyncIteration:
            raise RunNotFound from None
        finally:
            follower.close()
        return events, last


def snapshot(run_id: str, events: list[Event], last: int | None = None) -> Snapshot:
    """The sum of a run's events; `last` is the number of the last one, where that is not their number."""
    answer = AnswerText()
    answer.put(events)
    end = answer.end
    told = {name: getattr(end, name) for name in ("reason", "usage", "timings", "interrupts") if hasattr(end, name)}
    if isinstance(end, Failed):
        told["error"] = {"code": end.code, "message": end.message, "retryable": end.retryable}
    return Snapshot(
        run_id=run_id,
        state=("queued" if _is_queued(events) else "running") if end is None else end_state(end),
        text=answer.text,
        reasoning=answer.reasoning,
        last_id=len(events) if last is None else last,
        model=answer.model,
        **told,
    )


def _is_queued(events: list[Event]) -> bool:
    last = events[-1] if events else None
    return isinstance(last, Status) and last.state == "queued"
