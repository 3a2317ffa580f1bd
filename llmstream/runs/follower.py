"""A follower of a run in memory: batches of events, and its place in the run."""

from __future__ import annotations

import asyncio
import threading

from llmstream.concurrency import Watchdog
from llmstream.events import is_terminal
from llmstream.runs.log import Batch, Follower
from llmstream.runs.record import Followed

# What one follower takes at a time: enough to fill a write, little enough that a slow one costs bounded memory.
BATCH_EVENTS = 256
BATCH_BYTES = 64 * 2**10


class NothingMore(Follower):
    """A follower of a run that is forgotten, for a client that has all of its events."""

    idle_s = 0.0

    async def __anext__(self) -> Batch:
        raise StopAsyncIteration

    def close(self) -> None:
        """Releases nothing: none is held."""


class MemoryFollower(Follower):
    """Follows a run in memory; one timer for its idle time, whatever the number of events."""

    def __init__(self, run: Followed, after: int, idle_s: float, *, watching: bool) -> None:
        self._run = run
        self._position = after
        self._idle_s = idle_s
        self._watching = watching
        self._closed = False
        self._over = False
        self._future: asyncio.Future[bool] | None = None
        self._told: asyncio.Future[bool] | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._heard_at = self._loop.time()
        self._watchdog = Watchdog()
        run.add(self)
        if watching:
            run.joined()

    @property
    def idle_s(self) -> float:
        """The idle time in seconds; see `Follower.idle_s`."""
        return self._idle_s

    @idle_s.setter
    def idle_s(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._watchdog.stop()  # set for the time that held until now

    async def __anext__(self) -> Batch:
        run, first = self._run, self._position + 1
        while True:
            if self._closed or self._over:
                self.close()
                raise StopAsyncIteration
            if len(run.events) >= first:
                return self._take(first)
            if run.closed:
                self._over = True
                continue
            self._future = future = self._loop.create_future()
            # Another thread may have appended just before it could see the future.
            if len(run.events) >= first or run.closed:
                continue
            if not self._watchdog.running:
                self._watchdog.start(self._due, self._idle)
            if not await future:
                return Batch(first, [])

    def _take(self, first: int) -> Batch:
        run = self._run
        events = run.events[first - 1 : first - 1 + BATCH_EVENTS]
        if len(events) > 1:  # one event is never too large, and the rule when tokens come one by one
            average = run.bytes // len(run.events) or 1
            events = events[: max(1, BATCH_BYTES // average)]
        self._position += len(events)
        self._heard_at = self._loop.time()
        self._over = is_terminal(events[-1])
        return Batch(first, events)

    def go_on_after(self, number: int) -> None:
        """Goes on after the event with this number, wherever the follower is."""
        self._position, self._over = number, False

    def wake(self) -> None:
        """Wakes the one who waits: there is more; called in the appending thread, or in the follower's own."""
        future = self._future
        if future is None or future.done():
            return
        if threading.get_ident() == self._thread:
            future.set_result(True)
        elif future is not self._told and not self._loop.is_closed():
            self._told = future  # once is enough, however much is appended until it hears of it
            self._loop.call_soon_threadsafe(_resolve, future, True)

    def _due(self) -> float:
        return self._heard_at + self._idle_s

    def _idle(self) -> None:
        if self._future is not None and not self._future.done():
            self._heard_at = self._loop.time()
            self._future.set_result(False)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._watchdog.stop()
        self._run.remove(self)
        self.wake()
        if self._watching:
            self._run.left()


def _resolve(future: asyncio.Future[bool], more: bool) -> None:
    if not future.done():
        future.set_result(more)
