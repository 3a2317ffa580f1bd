"""The writing side: what is appended here goes to the store afterwards, in batches of all runs, one call at a time.

Nothing is remembered of a call but the number that the store answered with: what it has already it skips, and where it
lacks something it says from where to go on. So a lost answer, a lost tail and a store that lost everything are all
mended by the next call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast, get_args

from llmstream.errors import KeyConflict, StoreCorrupt, StoreFull, StoreUnavailable
from llmstream.events import CancelledBy
from llmstream.runs.log import NewRun
from llmstream.runs.redis.own.owned import News, Owned, awake_and_asleep
from llmstream.runs.redis.own.sending import Sender
from llmstream.runs.redis.store.codec import text
from llmstream.runs.redis.store.connection import CALL_RUNS, Link
from llmstream.runs.redis.store.keys import Keys, Times
from llmstream.runs.redis.store.scripts import CREATE

logger = logging.getLogger("llmstream")

# So often at most, in seconds: a token for somebody elsewhere is late by that at most, and a call costs as much as ten
# tokens, so that a store for many servers gets at most 110 calls a second from each.
_FLUSH_S = 0.0095
# How long text that nobody elsewhere follows waits for more of it, in seconds: some tokens as one entry cost as much as
# one alone. A process that is killed takes with it what waits.
_UNFOLLOWED_S = 0.1
# What one call holds at most.
_CALL_BYTES = 256 * 2**10
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
        self.name_again: Callable[[Owned], Awaitable[None]]
        self.question: Callable[[str], bytes | None] = lambda run_id: None
        self._link = link
        self._keys = keys
        self._node = node
        self._times = times
        self._sender = Sender(link, keys, node, times)
        # Runs with something new, and since when; of them those whose time to be written has come.
        self.dirty: dict[str, float] = {}
        self._due: dict[str, None] = {}
        self._later: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._clean = asyncio.Event()
        self._clean.set()

    def touch(self, run_id: str, *, soon: bool = False) -> None:
        """Notes that a run has something new, which goes out soon where that is asked for, or somebody waits for it."""
        owned = self.owned.get(run_id)
        if owned is None or owned.events is None:
            return
        self.dirty.setdefault(run_id, time.monotonic())
        self._clean.clear()
        if soon or owned.followers:
            self._due[run_id] = None
            self._news.set()
        elif self._later is None:
            self._later = self._loop.call_later(_UNFOLLOWED_S, self._hurry)

    def _hurry(self) -> None:
        """Has all that is new written now."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._due |= dict.fromkeys(self.dirty)
        self._news.set()

    def compare(self, *, ended: bool = True) -> None:
        """Compares all runs with what the store has of them; with those that ended a moment ago."""
        now = time.monotonic()
        for run_id, owned in list(self.owned.items()):
            if owned.ended_at is not None and now - owned.ended_at > _MENDED_S:
                self._forget(run_id)
            elif ended or owned.ended_at is None:
                self.touch(run_id, soon=True)

    def figures(self) -> dict[str, float]:
        """For the metrics, in any thread; the lag is how long the store has been behind this process."""
        runs, since = list(self.owned.values()), list(self.dirty.values())
        return {
            "store_unstored_events": sum(owned.length[0] - owned.stored for owned in runs),
            "store_lag_seconds": time.monotonic() - min(since) if since else 0.0,
            "store_repairs_total": self.repairs,
            "runs_lost_total": self.lost,
        }

    async def clean(self) -> None:
        """Waits until the store has everything."""
        self._hurry()
        await self._clean.wait()

    async def create(self, new: NewRun, *, with_key: bool = True, followers: bytes = b"") -> str:
        """Makes room for a run in the store; returns the id of the run its key belongs to."""
        key = new.key if with_key else None
        meta = self._keys.meta(new.id)
        answer, run_id = await self._link.run(
            CREATE, [meta, meta if key is None else self._keys.key(new.caller, key), self._keys.log(new.id)],
            new.id, self._node, new.caller.encode("utf-8", "replace"), new.fingerprint, int(key is not None),
            self._times.ttl, followers,
        )  # fmt: skip
        if answer == b"conflict":
            raise KeyConflict
        if answer != b"run":
            raise StoreUnavailable
        return text(run_id)

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
            except StoreUnavailable:  # the link tells when it is back
                self._hurry()
            except StoreFull:
                self._hurry()
                await asyncio.sleep(_FULL_PAUSE_S)
            if not self._due:
                self._news.clear()
            if not self.dirty:
                self._clean.set()

    async def _flush(self) -> None:
        """Writes what is due, in as many calls as that takes."""
        due = [owned for run_id in self._due if (owned := self.owned.get(run_id)) is not None]
        self._due.clear()
        while due:
            due = due[await self._call(due) :]

    async def _call(self, due: Sequence[Owned]) -> int:
        """Brings the first of the runs up to date, as many as go into one call; returns how many."""
        parts, size = list[tuple[Owned, News]](), 0
        for owned in due[:CALL_RUNS]:
            parts.append((owned, news := owned.news(self.question)))
            size += news.size
            if size >= _CALL_BYTES:
                break
        states, settled = await self._sender.send(parts)
        full = False
        for number, (owned, news) in enumerate(parts):
            state = states.get(number)
            full |= state is not None and len(state) == 1
            try:
                whole = await self._answered(owned, news, state, number in settled)
            except StoreCorrupt:
                whole = self._unreadable(owned)
            if whole:
                self.dirty.pop(owned.new.id, None)
            if not whole or owned.length != news.length:
                self.touch(owned.new.id, soon=not whole)
        if full:
            self._link.full = True
            raise StoreFull
        return len(parts)

    async def _answered(self, owned: Owned, news: News, state: list[Any] | None, settled: bool) -> bool:
        """Takes note of what the store has of a run; True if that is all there was when it was asked."""
        if state is None:
            owned.note_stored(news.entries[-1][0])
            owned.answered_at = awake_and_asleep()
        elif len(state) == 1:
            return False
        elif state[0] is None and awake_and_asleep() - owned.answered_at <= self._times.tomb / 2000:
            await self._begin_again(owned)
            return False
        elif state[0] != self._node.encode() or state[2] == b"lost":
            self._fenced(owned)
            return True
        else:
            self._learn(owned, *state[1:])
        if news.question is not None:
            owned.question_stored = settled
        if owned.stored < news.length[0] or news.settles > settled:
            return False
        if news.ends and owned.ended_at is None:
            owned.ended_at = time.monotonic()
            self.on_stored(owned)
        return True

    def _learn(self, owned: Owned, known: bytes, state: bytes, asked: bytes | None, followers: bytes) -> None:
        """Takes note of what the store knows of a run."""
        before = owned.stored
        owned.note_stored(known)
        self.repairs += owned.stored < before
        owned.followers, owned.answered_at = followers, awake_and_asleep()
        if asked and not owned.asked:
            self.ask(owned, asked.decode("ascii", "replace").partition(" ")[0])

    def _unreadable(self, owned: Owned) -> bool:
        """Leaves a run in the store as it is, where nobody can read it; here it goes on."""
        if owned.closed:
            self._forget(owned.new.id)
        return True

    async def _begin_again(self, owned: Owned) -> None:
        """Writes a run that the store lost again, from its first event on."""
        await self.name_again(owned)
        self.repairs += 1
        owned.note_stored(b"0")
        owned.answered_at = awake_and_asleep()
        try:
            same = await self.create(owned.new, followers=owned.followers) == owned.new.id
        except KeyConflict:
            same = False
        if not same:  # the key began another run since
            await self.create(owned.new, with_key=False, followers=owned.followers)

    def _fenced(self, owned: Owned) -> None:
        """Ends a run here too: others were told that this process died."""
        self._forget(owned.new.id)
        if owned.ended_at is None and not owned.closed:
            self.lost += 1
            logger.warning("run %s was taken for lost by others, and ends", owned.new.id)
            owned.new.on_lost()

    def _forget(self, run_id: str) -> None:
        self.owned.pop(run_id, None)
        self.dirty.pop(run_id, None)

    def ask(self, owned: Owned, by: str) -> bool:
        """Has the owner end a run; False where that was asked before."""
        if owned.asked or by not in get_args(CancelledBy):
            return False
        owned.asked = True
        owned.new.on_cancel(cast(CancelledBy, by))
        return True
