"""Runs of other processes of which nothing is heard: they are looked after again and again, more and more seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from llmstream.errors import StoreCorrupt, StoreUnavailable
from llmstream.runs.redis.others.mirror import Mirror
from llmstream.runs.redis.others.reader import RemoteRuns
from llmstream.runs.redis.store.codec import stored_number
from llmstream.runs.redis.store.connection import CALL_RUNS, Link
from llmstream.runs.redis.store.keys import Keys
from llmstream.runs.redis.store.scripts import STATES, WATCHED


class Silence:
    """A look at the silent runs: many in one call, and those alone are read of which the store knows something else.

    order: sends an order to a process.
    """

    def __init__(
        self, link: Link, keys: Keys, node: str, reader: RemoteRuns, lease_s: float, order: Callable[[str, str], None]
    ) -> None:
        self._link = link
        self._keys = keys
        self._node = node.encode()
        self._reader = reader
        self._lease_s = lease_s
        self._order = order

    async def look(self) -> None:
        """Looks at those whose time has come."""
        due = self._due()
        for start in range(0, len(due), CALL_RUNS):
            some = due[start : start + CALL_RUNS]
            for mirror in await self._changed(some):
                self._reader.read(mirror)
            self._ask_owners([mirror for mirror in some if mirror.silent_s >= 4 * self._lease_s])

    def _due(self) -> list[Mirror]:
        now = asyncio.get_running_loop().time()
        due = []
        for mirror in list(self._reader.mirrors.values()):
            if mirror.closed or not mirror.owner:
                continue
            if mirror.heard != mirror.have:
                mirror.heard, mirror.silent_s, mirror.read_at = mirror.have, self._lease_s, now
            elif now - mirror.read_at > mirror.silent_s:
                mirror.read_at, mirror.silent_s = now, min(2 * mirror.silent_s, 5 * self._lease_s)
                due.append(mirror)
        return due

    async def _changed(self, mirrors: Sequence[Mirror]) -> Sequence[Mirror]:
        """Those of which the store knows something else; all, where it does not tell of them together."""
        try:
            states = await self._link.run(STATES, [self._keys.meta(mirror.run_id) for mirror in mirrors])
            watching = await self._link.run(WATCHED, [self._keys.watchers(mirror.run_id) for mirror in mirrors])
        except StoreUnavailable:
            return mirrors
        known = zip(mirrors, states, watching, strict=True)
        return [mirror for mirror, state, watchers in known if not self._is_as_known(mirror, state, watchers)]

    def _is_as_known(self, mirror: Mirror, state: Sequence[Any], watchers: Sequence[bytes]) -> bool:
        """True if the store has of a run what is here, and that it is followed, and maybe watched, here."""
        owner, number, ended, _, followers = state
        if owner is None or ended or self._node not in followers:
            return False
        try:
            return stored_number(number) == mirror.have and (self._node in watchers or not mirror.watchers)
        except StoreCorrupt:
            return False

    def _ask_owners(self, mirrors: Sequence[Mirror]) -> None:
        """Has the owners store these runs: one that does not know a run (any more) then says so."""
        runs: dict[str, list[str]] = {}
        for mirror in mirrors:
            runs.setdefault(mirror.owner, []).append(mirror.run_id)
        for owner, ids in runs.items():
            self._order(owner, f"s {' '.join(ids)}")
