"""The run log in this process's memory."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from llmstream.errors import KeyConflict, RunNotFound
from llmstream.events import CancelledBy, Event, Token, is_terminal, size_of
from llmstream.runs.log import Batch, Follower, NewRun, PositionLost, RunInfo, RunLog

# What one follower takes at a time: enough to fill a write, little enough that a slow one costs bounded memory.
BATCH_EVENTS = 256
BATCH_BYTES = 64 * 2**10
# What an event costs beside its text: the struct, the str and the place in the list.
_EVENT_BYTES = 100
# How long a run waits for its first follower, in seconds, also where it has no grace after that.
UNCLAIMED_S = 5.0
# How many forgotten runs are remembered by their last number, so that a client that has everything is told so.
_TOMBSTONES = 10_000


class MemoryLog(RunLog):
    """Runs in memory: `replay_s` seconds after their end they are forgotten, the oldest earlier beyond `max_log_bytes`.

    A run that goes on is never forgotten. Followers may live in any thread and event loop; creating, appending, closing
    and forgetting happen in one loop.
    """

    def __init__(self, *, replay_s: float = 600, max_log_bytes: int = 256 * 2**20) -> None:
        self._replay_s = replay_s
        self._max_log_bytes = max_log_bytes
        self._runs: dict[str, _Run] = {}
        self._ended: OrderedDict[str, _Run] = OrderedDict()
        self._keys: dict[tuple[str, str], tuple[str, str]] = {}
        self._tombstones: OrderedDict[str, RunInfo] = OrderedDict()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """About how much memory all events take."""
        return self._bytes

    async def create(self, run: NewRun) -> str:
        self._forget_old()
        if run.key is not None:
            found = await self.find(run.caller, run.key, run.fingerprint)
            if found is not None:
                return found
            self._keys[run.caller, run.key] = (run.id, run.fingerprint)
        self._runs[run.id] = _Run(run)
        return run.id

    async def find(self, caller: str, key: str, fingerprint: str) -> str | None:
        self._forget_old()
        known = self._keys.get((caller, key))
        if known is None:
            return None
        if known[1] != fingerprint:
            raise KeyConflict("This request key was used with another request. Send a new key with a new request.")
        return known[0]

    def append(self, run_id: str, events: Sequence[Event]) -> None:
        run = self._runs[run_id]
        size = 0
        for event in events:
            size += _EVENT_BYTES + (len(event.text) if type(event) is Token else size_of(event))
        run.bytes += size
        run.events.extend(events)
        for follower in run.followers:
            follower.wake()
        self._bytes = total = self._bytes + size
        if total > self._max_log_bytes:
            self._forget_old()

    async def close(self, run_id: str) -> None:
        run = self._runs[run_id]
        run.close()
        self._ended[run_id] = run
        # In a context of its own: the run's holds what its chain left there, an error's frames among them.
        context = contextvars.Context()
        asyncio.get_running_loop().call_later(self._replay_s + 0.01, self._forget_old, context=context)

    async def info(self, run_id: str) -> RunInfo | None:
        run = self._kept(run_id)
        return None if run is None else run.info()

    def follow(self, run_id: str, after: int, *, idle_s: float, watching: bool = True) -> Follower:
        run = self._kept(run_id)
        if run is None:
            forgetting = self._runs.get(run_id)
            gone = self._tombstones.get(run_id) if forgetting is None else forgetting.info()
            if gone is not None and after == gone.last:
                return _NothingMore()
            raise RunNotFound
        if after < 0 or after > len(run.events):
            raise PositionLost("future" if after > 0 else "invalid")
        return MemoryFollower(run, after, idle_s, watching=watching)

    async def cancel(self, run_id: str, by: CancelledBy) -> bool:
        run = self._kept(run_id)
        if run is None:
            raise RunNotFound
        return run.cancel(by)

    def _kept(self, run_id: str) -> _Run | None:
        """A run whose time is not over; forgets none, because it may be asked for in any thread."""
        run = self._runs.get(run_id)
        return None if run is None or (run.closed and time.monotonic() - run.closed_at >= self._replay_s) else run

    def _forget_old(self) -> None:
        now = time.monotonic()
        while self._ended:
            run_id, run = next(iter(self._ended.items()))
            if now - run.closed_at < self._replay_s and self._bytes <= self._max_log_bytes:
                return
            del self._ended[run_id], self._runs[run_id]
            self._bytes -= run.bytes
            if run.new.key is not None:
                self._keys.pop((run.new.caller, run.new.key), None)
            self._tombstones[run_id] = run.info()
            if len(self._tombstones) > _TOMBSTONES:
                self._tombstones.popitem(last=False)


class _Run:
    """One run's events, and who waits for more of them."""

    def __init__(self, new: NewRun) -> None:
        self.new = new
        self.events: list[Event] = []
        self.bytes = 0
        self.closed = False
        self.closed_at = 0.0
        self.lock = threading.Lock()
        # A new one with every change, so that the appending thread can go through it while another one changes it.
        self.followers: tuple[MemoryFollower, ...] = ()
        self._watchers = 0
        self._cancelled = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(max(new.grace_s, UNCLAIMED_S), self._left)

    def info(self) -> RunInfo:
        return RunInfo(self.new.id, self.new.caller, 1, len(self.events), self.ended)

    @property
    def ended(self) -> bool:
        """Whether nothing more will come; the owner may still be on its way to closing the run."""
        return self.closed or (bool(self.events) and is_terminal(self.events[-1]))

    def close(self) -> None:
        self.closed_at = time.monotonic()
        self.closed = True
        for follower in self.followers:
            follower.wake()
        self._stop_timer()

    def add(self, follower: MemoryFollower) -> None:
        """Wake the follower whenever there is more."""
        with self.lock:
            self.followers = (*self.followers, follower)

    def remove(self, follower: MemoryFollower) -> None:
        """Wake the follower no more."""
        with self.lock:
            self.followers = tuple(each for each in self.followers if each is not follower)

    def cancel(self, by: CancelledBy) -> bool:
        if self.ended or self._cancelled:
            return False
        self._cancelled = True
        self._in_loop(lambda: self.new.on_cancel(by))
        return True

    def joined(self) -> None:
        self._in_loop(lambda: self._watch(1))

    def left(self) -> None:
        self._in_loop(lambda: self._watch(-1))

    def _watch(self, change: int) -> None:
        self._watchers += change
        self._stop_timer()
        if self._watchers == 0 and not self.ended:
            self._timer = self._loop.call_later(self.new.grace_s, self._left)

    def _left(self) -> None:
        self.cancel("left")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _in_loop(self, call: Callable[[], None]) -> None:
        if threading.get_ident() == self._thread:
            call()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)


class _NothingMore(Follower):
    """Of a run that is forgotten, for a client that has all of it."""

    idle_s = 0.0

    async def __anext__(self) -> Batch:
        raise StopAsyncIteration

    def close(self) -> None:
        """Nothing is held."""


class MemoryFollower(Follower):
    """Follows a run in memory; one timer for its idle time, whatever the number of events."""

    def __init__(self, run: _Run, after: int, idle_s: float, *, watching: bool) -> None:
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
        self._timer: asyncio.TimerHandle | None = None
        run.add(self)
        if watching:
            run.joined()

    @property
    def idle_s(self) -> float:
        """See `Follower`."""
        return self._idle_s

    @idle_s.setter
    def idle_s(self, idle_s: float) -> None:
        self._idle_s = idle_s
        if self._timer is not None:  # set for the time that held until now
            self._timer.cancel()
            self._timer = None

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
            if self._timer is None:
                self._timer = self._loop.call_at(self._heard_at + self._idle_s, self._look)
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

    def wake(self) -> None:
        """There is more; called in the appending thread, or in the follower's own."""
        future = self._future
        if future is None or future.done():
            return
        if threading.get_ident() == self._thread:
            future.set_result(True)
        elif future is not self._told and not self._loop.is_closed():
            self._told = future  # once is enough, however much is appended until it hears of it
            self._loop.call_soon_threadsafe(_resolve, future, True)

    def _look(self) -> None:
        self._timer = None
        future = self._future
        if future is None or future.done():
            return
        now = self._loop.time()
        if now < self._heard_at + self._idle_s:
            self._timer = self._loop.call_at(self._heard_at + self._idle_s, self._look)
        else:
            self._heard_at = now
            _resolve(future, False)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._run.remove(self)
        self.wake()
        if self._watching:
            self._run.left()


def _resolve(future: asyncio.Future[bool], more: bool) -> None:
    if not future.done():
        future.set_result(more)
