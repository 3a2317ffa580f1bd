"""The writing side: what is appended here goes to the store afterwards, in batches of all runs, one call at a time.

Nothing is remembered of a call but the number that the store answered with: what it has already it skips, and where it
lacks something it says from where to go on. So a lost answer, a lost tail and a store that lost everything are all
mended by the next call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, cast, get_args

from llmstream.errors import KeyConflict, StoreFull, StoreUnavailable
from llmstream.events import CancelledBy, Event, is_terminal
from llmstream.runs.continuing import can_continue
from llmstream.runs.log import NewRun
from llmstream.runs.redis.codec import encode
from llmstream.runs.redis.connection import Link
from llmstream.runs.redis.keys import Keys, Times
from llmstream.runs.redis.owned import Owned
from llmstream.runs.redis.scripts import APPEND, CREATE

logger = logging.getLogger("llmstream")

# A call at most so often, in seconds: a token waits that long at most, and a call costs as much as ten tokens.
_FLUSH_S = 0.01
# What one call holds at most.
_CALL_RUNS, _CALL_BYTES = 128, 256 * 2**10
# How long the copy of an ended run is compared with the store, in seconds: a failover loses the last second or so.
_MENDED_S = 60.0
_FULL_PAUSE_S = 1.0


class Writer:
    """Brings the runs of this process into the store."""

    def __init__(self, link: Link, keys: Keys, node: str, times: Times) -> None:
        self.owned: dict[str, Owned] = {}
        self.repairs = 0
        self.lost = 0
        self.on_stored: Callable[[Owned], None] = lambda owned: None
        self.question: Callable[[str], bytes | None] = lambda run_id: None
        self._link = link
        self._keys = keys
        self._node = node
        self._times = times
        # Runs with something new, and since when.
        self._dirty: dict[str, float] = {}
        self._news = asyncio.Event()
        self._clean = asyncio.Event()
        self._clean.set()

    def touch(self, run_id: str) -> None:
        """Notes that a run has something new."""
        if run_id in self._dirty:  # as every token but the first of a batch finds it
            return
        owned = self.owned.get(run_id)
        if owned is not None and owned.events is not None:
            self._dirty[run_id] = time.monotonic()
            self._clean.clear()
            self._news.set()

    def compare(self, *, ended: bool = True) -> None:
        """Compares all runs with what the store has of them; with those that ended a moment ago."""
        now = time.monotonic()
        for run_id, owned in list(self.owned.items()):
            if owned.ended_at is not None and now - owned.ended_at > _MENDED_S:
                del self.owned[run_id]
            elif ended or owned.ended_at is None:
                self.touch(run_id)

    def figures(self) -> dict[str, float]:
        """For the metrics, in any thread; the lag is how long the store has been behind this process."""
        runs, since = list(self.owned.values()), list(self._dirty.values())
        return {
            "store_unstored_events": sum(len(owned.events or ()) - owned.stored for owned in runs),
            "store_lag_seconds": time.monotonic() - min(since) if since else 0.0,
            "store_repairs_total": self.repairs,
            "runs_lost_total": self.lost,
        }

    async def clean(self) -> None:
        """Waits until the store has everything."""
        await self._clean.wait()

    async def create(self, new: NewRun, *, with_key: bool = True, followed: bool = False) -> str:
        """Makes room for a run in the store; returns the id of the run its key belongs to."""
        key = new.key if with_key else None
        meta = self._keys.meta(new.id)
        answer, run_id = await self._link.run(
            CREATE, [meta, meta if key is None else self._keys.key(new.caller, key), self._keys.log(new.id)],
            new.id, self._node, new.caller.encode("utf-8", "replace"), new.fingerprint, int(key is not None),
            self._times.ttl, int(followed),
        )  # fmt: skip
        if answer == b"conflict":
            raise KeyConflict("This request key was used with another request. Send a new key with a new request.")
        if answer != b"run":
            raise StoreUnavailable
        return str(run_id.decode())

    async def work(self) -> None:
        """Writes, as long as the process lives."""
        flushed_at = 0.0
        while True:
            await self._news.wait()
            await self._link.wait()
            pause_s = flushed_at + _FLUSH_S - time.monotonic()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            flushed_at = time.monotonic()
            try:
                await self._flush()
            except StoreFull:
                await asyncio.sleep(_FULL_PAUSE_S)
            except StoreUnavailable:
                continue  # the link tells when it is back
            if not self._dirty:
                self._news.clear()
                self._clean.set()

    def _next_batch(self) -> tuple[list[Owned], list[str], list[Any]]:
        """The runs that one call of the script brings up to date, with its keys and its arguments for them."""
        runs, keys, arguments, size = list[Owned](), list[str](), list[Any](), 0
        for run_id in list(self._dirty):
            owned = self.owned.get(run_id)
            if owned is None:
                del self._dirty[run_id]
                continue
            own, taken = self._entries(owned, owned.events or ())
            runs.append(owned)
            key = self._keys.meta(run_id) if owned.new.key is None else self._keys.key(owned.new.caller, owned.new.key)
            of = self._keys
            keys += [of.meta(run_id), of.log(run_id), of.watchers(run_id), key, of.question(run_id)]
            arguments += own
            size += taken
            if len(runs) >= _CALL_RUNS or size >= _CALL_BYTES:
                break
        return runs, keys, arguments

    async def _flush(self) -> None:
        runs, keys, arguments = self._next_batch()
        if not runs:
            return
        times = (self._times.replay, self._times.tomb, self._times.ttl)
        lengths, begun, full = list(map(self._length, runs)), time.monotonic(), False
        answers = await self._link.run(APPEND, keys, self._node, *times, *arguments)
        for owned, length, answer in zip(runs, lengths, answers, strict=True):
            if not await self._answered(owned, answer, length):
                full |= answer[0] == b"error"
                self._dirty.setdefault(owned.new.id, begun)
            elif self._length(owned) == length:
                self._dirty.pop(owned.new.id, None)
            else:
                self._dirty[owned.new.id] = begun
        if full:
            raise StoreFull

    def _entries(self, owned: Owned, events: Sequence[Event]) -> tuple[list[Any], int]:
        """The arguments of the script for one run, and their approximate size in bytes."""
        entries: list[Any] = []
        last, size = owned.stored, 0
        for start in range(owned.stored, len(events), 256):
            for count, data in encode(events[start : start + 256]):
                last += count
                size += len(data)
                entries += [last, count, data]
            if size >= _CALL_BYTES // 4:
                break
        ends = last == len(events) and (owned.closed or (bool(events) and is_terminal(events[-1])))
        may_go_on = not ends or can_continue(events[-1] if events else None)
        question = self.question(owned.new.id) if may_go_on and not owned.question_stored else None
        owned.question_sent = question is not None
        end = (1 + may_go_on, last) if ends else (0, -1)
        return [*end, question or b"", len(entries) // 3, *entries], size + len(question or b"")

    def _length(self, owned: Owned) -> tuple[int, bool]:
        return len(owned.events or ()), owned.closed

    async def _answered(self, owned: Owned, answer: list[Any], sent: tuple[int, bool]) -> bool:
        """Takes note of what the store has of a run; True if that is all there was when it was asked."""
        kind = answer[0]
        if kind == b"error":
            self._link.full = True
            return False
        if kind == b"fenced" or (kind == b"gone" and time.time() - owned.answered_at > self._times.tomb / 2000):
            self._fenced(owned)
            return True
        owned.answered_at = time.time()
        if kind == b"gone":
            await self._begin_again(owned)
            return False
        stored = int(answer[1])
        self.repairs += stored < owned.stored
        owned.note_stored(stored)
        if kind == b"gap":
            return False
        if answer[2] and not owned.asked:
            self.ask(owned, answer[2].decode().partition(" ")[0])
        if stored < sent[0]:
            return False
        events = owned.events or ()
        if owned.ended_at is None and (sent[1] or (stored > 0 and is_terminal(events[stored - 1]))):
            owned.ended_at = time.monotonic()
            self.on_stored(owned)
        return True

    async def _begin_again(self, owned: Owned) -> None:
        """Writes a run that the store lost again, from its first event on."""
        self.repairs += 1
        owned.note_stored(0)
        try:
            same = await self.create(owned.new, followed=True) == owned.new.id
        except KeyConflict:
            same = False
        if not same:  # the key began another run since
            await self.create(owned.new, with_key=False, followed=True)

    def _fenced(self, owned: Owned) -> None:
        """Ends a run here too: others were told that this process died."""
        self._forget(owned.new.id)
        if owned.ended_at is None and not owned.closed:
            self.lost += 1
            logger.warning("run %s was taken for lost by others, and ends", owned.new.id)
            owned.new.on_lost()

    def _forget(self, run_id: str) -> None:
        self.owned.pop(run_id, None)
        self._dirty.pop(run_id, None)

    def ask(self, owned: Owned, by: str) -> bool:
        """Has the owner end a run; False where that was asked before."""
        if owned.asked or by not in get_args(CancelledBy):
            return False
        owned.asked = True
        owned.new.on_cancel(cast(CancelledBy, by))
        return True
