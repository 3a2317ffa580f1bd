"""The run log in this process's memory."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import OrderedDict
from collections.abc import Sequence

from llmstream.concurrency import Newest
from llmstream.errors import KeyConflict, RunNotFound
from llmstream.events import CancelledBy, Event, Token, size_of
from llmstream.runs.continuing import Asked
from llmstream.runs.follower import MemoryFollower, NothingMore
from llmstream.runs.log import Follower, NewRun, PositionLost, RunInfo, RunLog
from llmstream.runs.record import RunRecord

# What an event costs beside its text: the struct, the str and the place in the list.
_EVENT_BYTES = 100
# What a run costs beside its events, 1.4 to 1.8 kB as measured: its record, the calls of its owner, its request's key.
_RUN_BYTES = 2000

# What a chat costs beside its note: its names, and their places.
_CHAT_BYTES = 400

# How long after its time a run is forgotten, in seconds, with all whose time has come by then.
_SWEEP_S = 0.01

# How many forgotten runs are remembered by their last number, so that a client that has everything is told so.
_TOMBSTONES = 10_000


class MemoryLog(RunLog):
    """Runs in memory: `replay_s` seconds after their end they are forgotten, the oldest earlier beyond `max_log_bytes`.

    A run that goes on is never forgotten, and a chat is known as long as its last run. Followers may live in any thread
    and event loop; creating, appending, closing and forgetting happen in one loop.
    """

    def __init__(self, *, replay_s: float = 600, max_log_bytes: int = 256 * 2**20) -> None:
        self.local = self
        self._replay_s = replay_s
        self._max_log_bytes = max_log_bytes
        self._runs: dict[str, RunRecord] = {}
        self._ended: OrderedDict[str, RunRecord] = OrderedDict()
        self._keys: dict[tuple[str, str], tuple[str, str]] = {}
        self._tombstones: Newest[str, RunInfo] = Newest(_TOMBSTONES)
        self._chats: dict[tuple[str, str], tuple[str, str]] = {}
        self._bytes = 0
        self._sweeping: asyncio.AbstractEventLoop | None = None  # where the next sweep is due

    @property
    def bytes(self) -> int:
        """The approximate number of bytes that all runs take."""
        return self._bytes

    async def create(self, run: NewRun) -> str:
        if run.key is not None:
            found = await self.find(run.caller, run.key, run.fingerprint)
            if found is not None:
                return found
            self._keys[run.caller, run.key] = (run.id, run.fingerprint)
        self._runs[run.id] = RunRecord(run)
        self._weigh(run.id, _RUN_BYTES)
        return run.id

    async def find(self, caller: str, key: str, fingerprint: str) -> str | None:
        self._forget_old()
        known = self._keys.get((caller, key))
        if known is None:
            return None
        if known[1] != fingerprint:
            raise KeyConflict
        return known[0]

    def append(self, run_id: str, events: Sequence[Event]) -> None:
        run = self._runs[run_id]
        size = 0
        for event in events:
            size += _EVENT_BYTES + (len(event.text) if type(event) is Token else size_of(event))
        run.bytes += size
        run.events.extend(events)
        run.wake()
        self._bytes = total = self._bytes + size
        if total > self._max_log_bytes:
            self._forget_old()

    async def close(self, run_id: str) -> None:
        run = self._runs[run_id]
        run.close()
        self._weigh(run_id, run.keep_to_continue())
        self._ended[run_id] = run
        if self._sweeping is not (loop := asyncio.get_running_loop()):
            self._sweep_later(loop, self._replay_s)

    def keep(self, run_id: str, asked: Asked) -> None:
        """Keeps what a run was asked; forgotten with the run, or once that is complete."""
        self._runs[run_id].asked = asked

    def asked(self, run_id: str) -> Asked | None:
        """The question of a run; None for one that is not here."""
        run = self._kept(run_id)
        return None if run is None else run.asked

    async def info(self, run_id: str, *, allow_stale: bool = False) -> RunInfo | None:
        run = self._kept(run_id)
        return None if run is None else run.info()

    def follow(self, run_id: str, after: int, *, idle_s: float, watching: bool = True, at_least: int = 0) -> Follower:
        run = self._kept(run_id)
        if run is None:
            forgetting = self._runs.get(run_id)
            gone = self._tombstones.get(run_id) if forgetting is None else forgetting.info()
            if gone is not None and after == gone.last:
                return NothingMore()
            raise RunNotFound
        if after < 0 or max(after, at_least) > len(run.events):
            raise PositionLost("invalid" if after < 0 else "future")
        return MemoryFollower(run, after, idle_s, watching=watching)

    async def cancel(self, run_id: str, by: CancelledBy) -> bool:
        run = self._kept(run_id)
        if run is None:
            raise RunNotFound
        return run.cancel(by)

    async def swap(self, caller: str, chat: str, run_id: str, note: str) -> str | None:
        before = self._chats.pop((caller, chat), None)
        if before is not None:
            self._runs[before[0]].chats.discard((caller, chat))
            self._weigh(before[0], -_CHAT_BYTES - len(before[1]))
        if run_id in self._runs:
            self._chats[caller, chat] = (run_id, note)
            self._runs[run_id].chats.add((caller, chat))
            self._weigh(run_id, _CHAT_BYTES + len(note))
        return None if before is None else before[0]

    async def succeed(self, caller: str, chat: str, cut: str, run_id: str) -> bool:
        last = self._chats.get((caller, chat))
        if last is None or last[0] not in (cut, run_id):
            return False
        await self.swap(caller, chat, run_id, last[1])
        return True

    async def named(self, caller: str, chat: str) -> tuple[str, str] | None:
        return self._chats.get((caller, chat))

    def knows(self, run_id: str) -> bool:
        """True if a run is here, and its time is not over."""
        return self._kept(run_id) is not None

    def recorded(self, run_id: str) -> Sequence[Event]:
        """The events of a run that goes on, not to be changed; the list itself, which grows with it."""
        return self._runs[run_id].events

    def watch(self, run_id: str, change: int) -> None:
        """Counts a watcher elsewhere more (1) or less (-1); one more keeps a run that seemed left."""
        run = self._runs.get(run_id)
        if run is not None:
            run.watch_elsewhere(change)

    def _kept(self, run_id: str) -> RunRecord | None:
        """A run whose time is not over; forgets none, because it may be asked for in any thread."""
        run = self._runs.get(run_id)
        return None if run is None or (run.closed and time.monotonic() - run.closed_at >= self._replay_s) else run

    def _weigh(self, run_id: str, change: int) -> None:
        """Counts what a run keeps beside its events."""
        self._runs[run_id].beside += change
        self._bytes += change
        self._forget_old()

    def _sweep_later(self, loop: asyncio.AbstractEventLoop, after_s: float) -> None:
        self._sweeping = loop
        # In a context of its own: the run's holds what its chain left there, an error's frames among them.
        loop.call_later(after_s + _SWEEP_S, self._sweep, loop, context=contextvars.Context())

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweeping = None
        self._forget_old()
        if self._ended:
            oldest = next(iter(self._ended.values()))
            self._sweep_later(loop, oldest.closed_at + self._replay_s - time.monotonic())

    def _forget_old(self) -> None:
        now = time.monotonic()
        while self._ended:
            run_id, run = next(iter(self._ended.items()))
            if now - run.closed_at < self._replay_s and self._bytes <= self._max_log_bytes:
                return
            del self._ended[run_id], self._runs[run_id]
            self._bytes -= run.bytes + run.beside
            for chat in run.chats:
                del self._chats[chat]
            if run.new.key is not None:
                self._keys.pop((run.new.caller, run.new.key), None)
            self._tombstones[run_id] = run.info()
