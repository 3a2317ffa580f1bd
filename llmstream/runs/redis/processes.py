"""The processes that share a store: each shows that it lives, hears orders, and ends the runs of one that died.

A process lives as long as its key is there. It is dead for whoever misses the key twice in a row while the store
answered all the time; then the runs it owned, as far as anybody here follows or asked for them, get their end. Nobody
leads: whoever looks at a run sees to it. That a process was taken for dead too early does no harm beyond its runs: what
it still appends is refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from llmstream.errors import OwnerLost, StoreFull, StoreUnavailable
from llmstream.events import failed
from llmstream.runs.redis.others.reader import RemoteRuns
from llmstream.runs.redis.others.silence import Silence
from llmstream.runs.redis.own.writer import Writer
from llmstream.runs.redis.store.codec import encode
from llmstream.runs.redis.store.connection import CALL_RUNS, Link
from llmstream.runs.redis.store.keys import Keys, Times, is_run_id
from llmstream.runs.redis.store.scripts import REAP, WATCHED
from llmstream.runs.redis.store.subscription import Subscription

logger = logging.getLogger("llmstream")

# How long somebody who asked for a run waits to hear of its end, in leases.
_ASKED_LEASES = 5
# What is read of an order: one may name as many runs as one call looks at.
_ORDER_BYTES = 16 * 2**10
# How long followers wait for a store that is away, in leases.
_PATIENCE_LEASES = 5


class Nodes:
    """One process among the others."""

    def __init__(
        self,
        link: Link,
        keys: Keys,
        node: str,
        about: str,
        writer: Writer,
        reader: RemoteRuns,
        subscription: Subscription,
        times: Times,
        lease_s: float,
    ) -> None:
        self.probe_failures = 0
        self.on_unwatched: Callable[[str], None] = lambda run_id: None
        self.take_back: Callable[[str], Awaitable[bool]]
        self._link = link
        self._keys = keys
        self._node, self._about = node, about
        self._writer = writer
        self._reader = reader
        self._subscription = subscription
        self._times = times
        self._lease_s, self._period_s = lease_s, lease_s / 3
        self._loop = asyncio.get_running_loop()
        self._beat_at = -float("inf")
        self._heard = True
        self._away_since: float | None = None
        # Of nodes that were missing: when that was seen first, and the last numbers of their runs then.
        self._missing: dict[str, tuple[float, dict[str, bytes]]] = {}
        self._asked: dict[str, tuple[str, float]] = {}
        self._silence = Silence(link, keys, node, reader, lease_s, self.order)
        link.probe, subscription.order = self._beat, self._hear

    @property
    def _lease(self) -> tuple[Any, ...]:
        return ("SET", self._keys.node(self._node), self._about, "PX", int(self._lease_s * 1000))

    async def _beat(self) -> None:
        await self._link.once(*self._lease)

    def asked(self, run_id: str, owner: str) -> None:
        """Watches a run that somebody asked for, for a while, so that it gets its end."""
        self._asked[run_id] = (owner, self._loop.time() + _ASKED_LEASES * self._lease_s)

    async def work(self) -> None:
        """Shows that this process lives, again and again, as long as it does."""
        while True:
            try:
                await self._tick()
                self._away_since, self._link.full = None, False
            except StoreFull:
                self._away_since = None
            except StoreUnavailable:
                self._away()
            await asyncio.sleep(self._period_s)

    def _away(self) -> None:
        now = self._loop.time()
        self._missing.clear()
        self._heard = True  # for nothing was sent
        self._away_since = self._away_since or now
        if now - self._away_since > _PATIENCE_LEASES * self._lease_s:
            for mirror in list(self._reader.mirrors.values()):
                mirror.fail(StoreUnavailable())

    async def _tick(self) -> None:
        before, self._beat_at = self._beat_at, self._loop.time()
        if not self._heard:
            self.probe_failures += 1
            await self._subscription.drop()
        self._heard = not self._subscription.connected  # then there is nothing to be deaf
        others = sorted(self._others())
        node = self._keys.node(self._node)
        answers = await self._link.commands(
            [(*self._lease, "GET"), ("PUBLISH", node, "p"), *(("EXISTS", self._keys.node(each)) for each in others)]
        )
        if self._link.is_cluster and self._subscription.connected and not answers[1]:
            # It listens at another node: that hears everything, but others can't tell that this process is there.
            await self._subscription.drop()
            self._heard = True
        if answers[0] is None and self._beat_at - before < self._lease_s * 0.9:
            self._mend()  # the key went before its time, and so may have other things
        self._writer.compare(ended=False)
        await self._reader.tell_unwatched()
        await self._silence.look()
        await self._look_at_watchers()
        await self._look_at_missing({each for each, there in zip(others, answers[2:], strict=True) if not there})

    def _mend(self) -> None:
        self._writer.compare()
        self._reader.read_all()

    def _others(self) -> set[str]:
        now = self._loop.time()
        self._asked = {run: (owner, until) for run, (owner, until) in self._asked.items() if until > now}
        owners = {mirror.owner for mirror in list(self._reader.mirrors.values()) if mirror.owner and not mirror.closed}
        return (owners | {owner for owner, _ in self._asked.values()}) - {self._node}

    # --- orders

    def order(self, node: str, order: str) -> None:
        """Sends an order to another process; it may get lost, and is found in the store all the same."""
        self._link.spawn(self._order(node, order))

    async def _order(self, node: str, order: str) -> None:
        with suppress(StoreUnavailable):
            await self._link.command("PUBLISH", self._keys.node(node), order)

    def _hear(self, order: bytes) -> None:
        """Obeys an order.

        x <run> <by>: end it. l <run>: its last watcher there left. s <run> …: store them. p: a probe.
        """
        kind, *words = order[:_ORDER_BYTES].decode("ascii", "replace").split(" ")
        if kind == "p":
            self._heard = True
        elif kind == "s":
            for run_id in filter(is_run_id, words):
                self._store(run_id)
        elif words and is_run_id(words[0]):
            owned = self._writer.owned.get(words[0])
            if kind == "x" and owned is not None and len(words) > 1:
                self._writer.ask(owned, words[1])
            elif kind == "l" and owned is not None:
                self.on_unwatched(words[0])

    def _store(self, run_id: str) -> None:
        if run_id in self._writer.owned:
            self._writer.touch(run_id, soon=True)
        else:
            self._link.spawn(self._disown(run_id))

    # --- watchers

    async def watched(self, run_id: str) -> bool:
        """True if a process that lives watches a run."""
        return not await self._unwatched([run_id])

    async def _unwatched(self, runs: Sequence[str]) -> list[str]:
        """Those of the runs that no process that lives watches."""
        watching: dict[str, set[str]] = {}
        for start in range(0, len(runs), CALL_RUNS):
            some = runs[start : start + CALL_RUNS]
            found = await self._link.run(WATCHED, [self._keys.watchers(run_id) for run_id in some])
            for run_id, members in zip(some, found, strict=True):
                watching[run_id] = {member.decode("ascii", "replace") for member in members}
        nodes = sorted(set().union(*watching.values()))
        there = await self._link.commands([("EXISTS", self._keys.node(node)) for node in nodes]) if nodes else []
        living = {node for node, lives in zip(nodes, there, strict=True) if lives}
        return [run_id for run_id, members in watching.items() if not members & living]

    async def _look_at_watchers(self) -> None:
        runs = [run_id for run_id, owned in self._writer.owned.items() if owned.watched_elsewhere]
        for run_id in await self._unwatched(runs):
            self.on_unwatched(run_id)

    # --- the dead

    async def _look_at_missing(self, missing: set[str]) -> None:
        now = self._loop.time()
        healthy = self._link.is_settled(self._lease_s)
        known = {node: seen for node, seen in self._missing.items() if node in missing and healthy}
        self._missing = {}
        for node in missing if healthy else ():
            seen_at, numbers = known.get(node, (now, {}))
            if node in known and now - seen_at < 3 * self._period_s:
                await self._bury(node, numbers)
            else:
                self._missing[node] = (now, await self._numbers(self._runs_of(node)))

    def _runs_of(self, node: str) -> list[str]:
        mirrored = (m.run_id for m in list(self._reader.mirrors.values()) if m.owner == node and not m.closed)
        return sorted({*mirrored, *(run_id for run_id, (owner, _) in self._asked.items() if owner == node)})

    async def _numbers(self, runs: Iterable[str]) -> dict[str, bytes]:
        runs = list(runs)
        if not runs:
            return {}
        found = await self._link.commands([("HGET", self._keys.meta(run_id), "n") for run_id in runs])
        return {run_id: number for run_id, number in zip(runs, found, strict=True) if number is not None}

    async def _bury(self, node: str, numbers: dict[str, bytes]) -> None:
        for run_id, number in numbers.items():
            if await self.reap(run_id, node, number):
                self._writer.lost += 1
                logger.warning("run %s is lost: its process %s is gone", run_id, node)
            self._asked.pop(run_id, None)
            if (mirror := self._reader.mirrors.get(run_id)) is not None:
                self._reader.read(mirror)

    async def reap(self, run_id: str, owner: str, number: bytes) -> bool:
        """Writes the end of a run whose owner died, unless the run has moved since `number`."""
        ((_, end),) = encode([failed(OwnerLost())])
        of, times = self._keys, self._times
        keys = [of.meta(run_id), of.log(run_id), of.watchers(run_id), of.question(run_id)]
        return bool(await self._link.run(REAP, keys, owner, number, end, times.replay, times.tomb, of.nodes))

    async def _disown(self, run_id: str) -> None:
        """Ends a run that is said to be this process's, which has forgotten it: an old copy of the store came back."""
        with suppress(StoreUnavailable, KeyError):
            if await self.take_back(run_id):
                return  # nobody was told that it had begun
            owner, state = await self._link.command("HMGET", self._keys.meta(run_id), "o", "s")
            if owner == self._node.encode() and state == b"":
                numbers = await self._numbers([run_id])
                await self.reap(run_id, self._node, numbers[run_id])
