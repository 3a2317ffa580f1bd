"""What is true of runs in a store, whatever happens to it: what a reader may be told, and when it must be told more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from llmstream.errors import RunNotFound, StoreUnavailable
from llmstream.events import Event, Failed, is_terminal
from llmstream.runs.log import END_OF_LOST, Batch, PositionLost
from llmstream.runs.redis.log import RedisLog
from llmstream.runs.redis.store.codec import decode, encode


@dataclass(eq=False)
class Process:
    """A log of its own. dead: its memory is gone. was_away: it could not reach the store at some time."""

    log: RedisLog
    dead: bool = False
    was_away: bool = False

    @property
    def began(self) -> bool:
        """True if it has used the store."""
        return hasattr(self.log, "link")


@dataclass(eq=False)
class Run:
    """What a run's owner has appended.

    reaped: its end was written by somebody else; doubted: perhaps. fenced: the owner was told so. forgotten: the store
    may have lost some of it. asked: somebody was told that it will be stopped.
    """

    id: str
    owner: Process
    events: list[Event] = field(default_factory=list)
    closed: bool = False
    fenced: bool = False
    reaped: bool = False
    doubted: bool = False
    forgotten: bool = False
    asked: bool = False

    @property
    def ended(self) -> bool:
        return self.closed or bool(self.events and is_terminal(self.events[-1]))

    @property
    def may_be_lost(self) -> bool:
        """True if somebody may have taken its owner for dead."""
        return self.reaped or self.doubted or self.owner.dead or self.owner.was_away

    @property
    def lives(self) -> bool:
        """True if its owner has it and may write it."""
        return not (self.owner.dead or self.fenced)

    @property
    def rests(self) -> bool:
        """False for a run that somebody was told is going to be stopped, or of whose end its owner must hear."""
        return self.ended or not self.lives or not (self.asked or (self.reaped and not self.forgotten))

    def is_at(self, number: int, event: Event) -> bool:
        """True if this is the event with that number, or what can be stored of it."""
        if number > len(self.events):
            return False
        ((count, data),) = encode([self.events[number - 1]])
        return event in (self.events[number - 1], *decode(data, count))


@dataclass(eq=False)
class Reader:
    """Somebody who follows a run in a process, after a number.

    seen: the number of the last event, but for the end of a lost run. ahead: it began with a number never given.
    """

    run: Run
    process: Process
    after: int
    ahead: bool = False
    seen: int = 0
    end: Event | None = None
    raised: Exception | None = None
    task: asyncio.Task[None] | None = None
    wrong: str = ""

    def __post_init__(self) -> None:
        self.seen = self.after
        self.ahead = self.after > len(self.run.events)

    async def read(self) -> None:
        """Follow to the end, and look at everything that comes."""
        try:
            follower = self.process.log.follow(self.run.id, self.after, idle_s=600, watching=False)
            try:
                async for batch in follower:
                    self._take(batch)
            finally:
                follower.close()
        except (PositionLost, RunNotFound, StoreUnavailable) as error:
            self.raised = error

    def _take(self, batch: Batch) -> None:
        for number, event in enumerate(batch.events, batch.first):
            if self.end is not None:
                self.wrong = f"{number} {event} after the end"
            elif self._is_loss(number, event):
                self.end = event
            elif number != self.seen + 1 or not self.run.is_at(number, event):
                self.wrong = f"{number} {event} after number {self.seen}"
            else:
                self.seen = number
                self.end = event if is_terminal(event) else None

    def _is_loss(self, number: int, event: Event) -> bool:
        """True for the end of a run whose owner died, or was taken for dead and is told so itself."""
        if not isinstance(event, Failed) or event.code != "owner_lost":
            return False
        if self.process is self.run.owner:
            return self.run.fenced and number == len(self.run.events) + 1
        return self.run.may_be_lost and number == END_OF_LOST

    @property
    def over(self) -> bool:
        return self.task is not None and self.task.done()

    @property
    def rests(self) -> bool:
        """True if it has all there is, or was told that it gets no more."""
        if self.over or not self.run.lives or self.run.ended:
            return self.over
        return self.seen >= len(self.run.events)

    def fault(self) -> str:
        """What this reader was told that it must not be told; at rest."""
        if self.wrong or not self.over:
            return self.wrong
        run = self.run
        if isinstance(self.raised, StoreUnavailable):
            return ""
        if isinstance(self.raised, RunNotFound):
            return "" if run.forgotten else "not found"
        if isinstance(self.raised, PositionLost):
            told = self.raised.reason
            may = {"future": self.ahead or run.forgotten or run.may_be_lost, "lost": run.forgotten and run.may_be_lost}
            return "" if may.get(told) else f"position {told}"
        has_all = self.seen >= len(run.events) and run.closed
        return "" if self.end is not None or has_all else "an end without a word"

    def __repr__(self) -> str:
        told = self.wrong or self.end or self.raised or ("over" if self.over else "")
        return f"<{self.run.id} of {len(self.run.events)} after {self.after}: {self.seen} {told!r} {self.run}>"[:600]


def numbered(batches: Sequence[Batch]) -> list[tuple[int, Event]]:
    """The events of batches, however they were cut, with their numbers."""
    return [(number, event) for batch in batches for number, event in enumerate(batch.events, batch.first)]
