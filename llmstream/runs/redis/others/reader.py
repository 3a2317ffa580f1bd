"""The reading side: the news that this process is told of all runs followed here, and reads that fill its gaps.

A message is told at most once and may be lost; the numbers show it, and what is missing is then read from the log. What
numbers can't show, a connection that has gone deaf, is found out by `processes`, which sends itself a message.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from llmstream.errors import RunNotFound, StoreCorrupt, StoreUnavailable
from llmstream.runs.log import END_OF_LOST, PositionLost
from llmstream.runs.redis.others.cache_limit import Room
from llmstream.runs.redis.others.mirror import MOST_AHEAD, Mirror, MirrorFollower
from llmstream.runs.redis.others.notifications import Told
from llmstream.runs.redis.store.codec import numbers, stored_number
from llmstream.runs.redis.store.connection import Link
from llmstream.runs.redis.store.keys import Keys
from llmstream.runs.redis.store.scripts import LOOK
from llmstream.runs.redis.store.subscription import Subscription
from llmstream.settings import Settings

# How long a mirror stays when nobody follows it any more, in seconds.
_KEPT_S = 5.0
_PAGE_ENTRIES = 256
# Runs that are read at once, where many have to be.
_READS = 4


class RemoteRuns:
    """The runs of other processes that are followed here."""

    def __init__(self, link: Link, keys: Keys, node: str, subscription: Subscription, settings: Settings) -> None:
        self.mirrors: dict[str, Mirror] = {}
        self.order: Callable[[str, str], None] = lambda node, order: None
        self.unwatched: set[str] = set()
        self._link = link
        self._keys = keys
        self._node = node
        self._lease_s = settings.lease_s
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._in_doubt_until = 0.0
        self._reads = asyncio.Semaphore(_READS)
        self._reading: dict[Mirror, bool] = {}
        subscription.begun, subscription.news = self.read_all, Told(link, keys, node, self.mirrors, self.read).hear
        self.room = Room(self.mirrors, self.look, settings.max_log_bytes)

    # --- followers, in any thread

    def follow(self, run_id: str, after: int, *, idle_s: float, watching: bool, at_least: int) -> MirrorFollower:
        """A follower of another process's run."""
        with self._lock:
            mirror = self.mirrors.get(run_id)
            if mirror is None or mirror.failure is not None or mirror.left_alone:
                mirror = self.mirrors[run_id] = Mirror(run_id, self.room)
                mirror.on_watch = partial(self._soon, self._watch, mirror)
            mirror.uses += 1
        follower = MirrorFollower(mirror, after, idle_s=idle_s, watching=watching, at_least=at_least)
        follower.on_close(lambda: self._soon(self._left, mirror))
        self._soon(self._joined, mirror, follower)
        return follower

    def _soon(self, call: Callable[..., None], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)

    # --- in the log's loop from here on

    def _joined(self, mirror: Mirror, follower: MirrorFollower) -> None:
        if not mirror.opened:
            mirror.opened = True
            self.read(mirror)  # which says that it is followed here
        if follower.held:
            self._link.spawn(self._wait_ahead(mirror, follower))

    def _left(self, mirror: Mirror) -> None:
        mirror.uses -= 1
        if mirror.uses == 0:
            self._loop.call_later(_KEPT_S, self._drop_unused, mirror)

    def _drop_unused(self, mirror: Mirror) -> None:
        with self._lock:
            if mirror.uses:
                return
            if self.mirrors.get(mirror.run_id) is mirror:
                del self.mirrors[mirror.run_id]

    def _watch(self, mirror: Mirror, change: int) -> None:
        mirror.watchers += change
        if mirror.watchers == 1 and change > 0:
            self.unwatched.discard(mirror.run_id)
            if mirror.opened:
                self.read(mirror)  # which says that it is watched here
        elif mirror.watchers == 0 and not mirror.closed:
            self.unwatched.add(mirror.run_id)
            self._link.spawn(self.tell_unwatched())

    async def tell_unwatched(self) -> None:
        """Tells the owners which runs nobody watches here any more; again until they know."""
        for run_id in list(self.unwatched):
            mirror = self.mirrors.get(run_id)
            try:
                await self._link.command("SREM", self._keys.watchers(run_id), self._node)
            except StoreUnavailable:
                return
            self.unwatched.discard(run_id)
            if mirror is not None and mirror.watchers:  # somebody came meanwhile
                self.read(mirror)
            elif mirror is not None and mirror.owner:
                self.order(mirror.owner, f"l {run_id}")

    async def _wait_ahead(self, mirror: Mirror, follower: MirrorFollower) -> None:
        """Brings a client that holds more than the store back to it, or tells it that there is no such position.

        It was with the owner a moment ago, or the store lost something; the owner, if it lives, has it.
        """
        await mirror.known.wait()
        if follower.is_ahead and follower.held > mirror.have + MOST_AHEAD:
            return follower.lose("future")
        # A dead owner seems to live for a lease; one that is there after it had time enough to store what it has.
        for pause_s in (self._lease_s / 30, self._lease_s / 2, self._lease_s * 0.7):
            if not follower.is_ahead:
                return None
            await asyncio.sleep(pause_s)
            self.order(mirror.owner, f"s {mirror.run_id}")
        try:
            while follower.is_ahead and not mirror.closed:
                if await self._link.command("EXISTS", self._keys.node(mirror.owner)):
                    await self._read(mirror)
                    return follower.lose("future") if follower.is_ahead else None
                await asyncio.sleep(self._lease_s)
        except StoreUnavailable:
            return None  # it waits on

    # --- reading what is stored

    def read(self, mirror: Mirror) -> None:
        """Reads the stored events beyond those here; once at a time, and once more where it is asked for meanwhile."""
        if mirror in self._reading:
            self._reading[mirror] = True
        elif not mirror.closed:
            self._reading[mirror] = False
            self._link.spawn(self._reread(mirror))

    def read_all(self) -> None:
        """Reads all runs again: something may have been missed."""
        for mirror in list(self.mirrors.values()):
            if mirror.opened:
                self.read(mirror)

    async def _reread(self, mirror: Mirror) -> None:
        again = True
        try:
            while again and not mirror.closed:
                self._reading[mirror] = False
                async with self._reads:
                    await self._read(mirror)
                again = self._reading[mirror]
        except StoreUnavailable as error:
            if not mirror.owner:  # nobody was told that it exists
                mirror.fail(error)
        except StoreCorrupt as error:
            mirror.fail(error)
        finally:
            del self._reading[mirror]

    async def _read(self, mirror: Mirror) -> None:
        while not mirror.closed:
            page = await self.look(mirror.run_id, mirror.have, followed=True, watched=mirror.watchers > 0)
            if page is None:
                return self._missing(mirror)
            mirror.caller, mirror.owner, mirror.last, state, first, entries = page
            mirror.missing_since = None
            if not first and mirror.last and state:
                mirror.expired = True
                return mirror.fail(RunNotFound())
            self._put(mirror, entries)
            if not entries or mirror.have >= mirror.last:
                if state and mirror.end is None:
                    mirror.close()
                return mirror.known.set()
        return None

    def _put(self, mirror: Mirror, entries: list[bytes]) -> None:
        for id_, data in zip(entries[::2], entries[1::2], strict=True):
            last, count = numbers(id_)
            if last != END_OF_LOST and last - count > mirror.have:
                if mirror.have:
                    return mirror.fail(PositionLost("trimmed"))
                mirror.skip(last - count)
            mirror.put(last, count, data)
        return None

    def _missing(self, mirror: Mirror) -> None:
        """Handles a run that the store does not know (any more): its owner, if it lives, writes it again."""
        if not mirror.owner:
            return mirror.fail(self.not_found())
        if not mirror.have:  # it was taken back, or lost with nothing of it: whoever wants it asks again
            return mirror.fail(StoreUnavailable())
        now = self._loop.time()
        if mirror.missing_since is None:
            mirror.missing_since = now
            self._loop.call_later(self._link.patience_s(self._lease_s), self.read, mirror)
        elif now - mirror.missing_since >= self._link.patience_s(self._lease_s) * 0.99:
            return mirror.fail(PositionLost("lost"))
        self.order(mirror.owner, f"s {mirror.run_id}")
        return None

    def not_found(self) -> RunNotFound | StoreUnavailable:
        """The error for a run that the store does not know; just after it was away, the owner may write it again."""
        is_sure = self._link.is_settled(self._lease_s) and self._loop.time() > self._in_doubt_until
        return RunNotFound() if is_sure else StoreUnavailable()

    def doubt(self) -> None:
        """Notes that the store may lack for a while what it had, although it answers."""
        self._in_doubt_until = self._loop.time() + self._link.patience_s(self._lease_s)

    async def look(
        self, run_id: str, after: int, *, followed: bool = False, watched: bool = False, count: int = _PAGE_ENTRIES
    ) -> tuple[str, str, int, str, int, list[bytes]] | None:
        """A run's caller, owner, last number, state, first number (0: none), and entries after a number."""
        keys = [self._keys.meta(run_id), self._keys.log(run_id), self._keys.watchers(run_id)]
        asked = (after, int(followed), int(watched), count)
        found = await self._link.run(LOOK, keys, self._node, *asked, self._keys.nodes, run_id)
        if found is None:
            return None
        try:
            caller, owner, last, state, id_, entries = found
            number, size = numbers(id_) if id_ else (0, 1)
            return caller.decode(), owner.decode(), stored_number(last), state.decode(), number - size + 1, entries
        except ValueError:  # none of these, no number, no text
            raise StoreCorrupt from None
