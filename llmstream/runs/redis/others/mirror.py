"""The copy of a run of another process, and its followers here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from llmstream.errors import LlmstreamError, StoreCorrupt
from llmstream.events import Event, Failed, is_terminal, size_of
from llmstream.runs.follower import MemoryFollower
from llmstream.runs.log import END_OF_LOST, Batch, Follower, PositionLost, RunInfo
from llmstream.runs.record import Followed
from llmstream.runs.redis.others.cache_limit import Room
from llmstream.runs.redis.store.codec import decode

_EVENT_BYTES = 100
# Stands where events are that are not here; nobody gets it.
_NOT_HERE = Failed("trimmed", "", retryable=False)
# A client can't be further ahead of the store than this; what claims to be holds another run's number, or none.
MOST_AHEAD = 1_000_000


class Mirror(Followed):
    """The events of a run that another process owns, shared by all that follow it here.

    It is fed in the loop of the log. `last`: the number up to which the store had it; `gone`: how many of the first
    events are in the store no more; `shed_count`: how many are not kept here. `end`: of a run whose owner died.
    `failure`: why its followers can't go on. `left_alone`: they can, but not in this process.
    """

    def __init__(self, run_id: str, room: Room) -> None:
        super().__init__()
        self.run_id = run_id
        self.room = room
        self.shed_count = 0
        self.caller = self.owner = ""
        self.last = 0
        self.gone = 0
        self.end: Failed | None = None
        self.expired = False
        self.failure: Exception | None = None
        self.left_alone = False
        self.uses = 0
        self.watchers = 0
        self.opened = False
        # Set once it is known whether there is such a run.
        self.known = asyncio.Event()
        self.missing_since: float | None = None
        # For looking after it in silence: what there was last time, when it was read last, how long to wait.
        self.heard = -1
        self.read_at = 0.0
        self.silent_s = 0.0
        self.on_watch: Callable[[int], None] = lambda change: None

    def joined(self) -> None:
        self.on_watch(1)

    def left(self) -> None:
        self.on_watch(-1)

    @property
    def have(self) -> int:
        """The number of the last event here."""
        return len(self.events)

    def info(self) -> RunInfo | None:
        """The facts known of the run, as its followers here saw them last; None where only the store can tell."""
        if not self.known.is_set() or self.failure is not None or self.left_alone:
            return None
        return RunInfo(self.run_id, self.caller, self.gone + 1, self.last, self.closed)

    def put(self, last: int, count: int, data: bytes) -> bool:
        """Takes an entry of the log; False where those before it are missing. Raises `StoreCorrupt`."""
        if last == END_OF_LOST:
            (event,) = decode(data, count)
            if not isinstance(event, Failed):
                raise StoreCorrupt
            self.end = event
            self.last = END_OF_LOST
            self.close()
            return True
        have = self.have
        if last <= have or self.closed:
            return True
        if last - count > have:
            return False
        self._add(decode(data, count)[have - (last - count) :])
        self.last = max(self.last, last)
        return True

    def _add(self, events: list[Event]) -> None:
        # The bytes first: a follower in another thread divides by the number of events.
        size = sum(map(_size, events))
        self.bytes += size
        self.events.extend(events)
        self.room.grow(size)
        if is_terminal(events[-1]):
            self.close()
        else:
            self.wake()

    def skip(self, count: int) -> None:
        """Notes that the first events are not in the store any more: followers that need them are told so."""
        self.gone = count
        self.events.extend([_NOT_HERE] * count)

    def shed(self, keep_bytes: int) -> None:
        """Keep the newest events only: whoever needs others reads them from the store."""
        number, kept = len(self.events), 0
        while number > self.shed_count and kept < keep_bytes:
            number -= 1
            kept += _size(self.events[number])
        # The number first: a follower in another thread takes events, and then looks whether it has them.
        before, self.shed_count = self.shed_count, number
        self.events[before:number] = [_NOT_HERE] * (number - before)
        self.bytes = kept

    def close(self) -> None:
        """Ends the copy: nothing more will come."""
        self.closed = True
        self.known.set()
        self.wake()

    def leave(self) -> None:
        """Tells the followers no more of the run, which goes on."""
        if not self.closed:
            self.left_alone = True
            self.close()

    def fail(self, failure: Exception) -> None:
        """Fails the followers: nothing more can be told to them."""
        if not self.closed:
            self.failure = failure
            self.close()


def _size(event: Event) -> int:
    return _EVENT_BYTES + size_of(event)


class MirrorFollower(Follower):
    """A follower of a copy. Its errors come from `__anext__`, for only the store can tell.

    held: the number of the last event that the client has.
    """

    def __init__(self, mirror: Mirror, after: int, *, idle_s: float, watching: bool, at_least: int) -> None:
        self._mirror = mirror
        self.held = max(after, at_least)
        self._over = False
        self.failure: Exception | None = None
        self._on_close: Callable[[], None] | None = None
        self._inner = MemoryFollower(mirror, after, idle_s, watching=watching)

    def on_close(self, call: Callable[[], None]) -> None:
        """Called once, when this is closed."""
        self._on_close = call

    @property
    def idle_s(self) -> float:
        """The idle time in seconds; see `Follower.idle_s`."""
        return self._inner.idle_s

    @idle_s.setter
    def idle_s(self, idle_s: float) -> None:
        self._inner.idle_s = idle_s

    @property
    def is_ahead(self) -> bool:
        """True if the client holds more events than the copy has."""
        return self.held > self._mirror.have and not self._mirror.closed

    def lose(self, reason: str) -> None:
        """Tells this follower alone that it can't go on from its position."""
        self.failure = PositionLost(reason)
        self._inner.close()

    async def __anext__(self) -> Batch:
        if self._over:
            raise StopAsyncIteration
        try:
            batch = await anext(self._inner)
        except StopAsyncIteration:
            return self._last()
        if batch.events and batch.first <= self._mirror.gone:
            self._over = True
            raise PositionLost("trimmed")
        if batch.events and batch.first <= self._mirror.shed_count:
            events = await self._mirror.room.page(self._mirror.run_id, batch.first - 1)
            self._inner.go_on_after(batch.first - 1 + len(events))
            return Batch(batch.first, events)
        return batch

    def _last(self) -> Batch:
        """The batch behind the last event; raises what ends the following otherwise."""
        mirror, self._over = self._mirror, True
        if self.failure is not None:
            raise self.failure
        if self._on_close is None or mirror.left_alone:  # closed meanwhile
            raise StopAsyncIteration
        if mirror.failure is not None:
            if isinstance(mirror.failure, StoreCorrupt):
                return Batch(END_OF_LOST, [_failed(mirror.failure)])
            if not (mirror.expired and self.held == mirror.last):
                raise mirror.failure
        elif mirror.end is not None:
            if self.held < END_OF_LOST:
                return Batch(END_OF_LOST, [mirror.end])
        elif self.held > mirror.have:
            raise PositionLost("future")
        raise StopAsyncIteration

    def close(self) -> None:
        self._inner.close()
        call, self._on_close = self._on_close, None
        if call is not None:
            call()


def _failed(error: LlmstreamError) -> Failed:
    return Failed(error.code, error.message, error.retryable)
