"""The runs of other processes, for whoever does not follow them (yet): what is known of one, its stop, its end."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import closing, suppress

from llmstream.errors import RunNotFound
from llmstream.events import CancelledBy
from llmstream.runs.log import PositionLost, RunInfo
from llmstream.runs.redis.others.reader import RemoteRuns
from llmstream.runs.redis.processes import Nodes
from llmstream.runs.redis.store.codec import text
from llmstream.runs.redis.store.connection import Link
from llmstream.runs.redis.store.keys import Keys
from llmstream.runs.redis.store.scripts import ASK

# The time after which everybody knows of a dead process, in leases, and some more.
_DEATH_LEASES = 3


class Elsewhere:
    """The runs of other processes."""

    def __init__(self, link: Link, keys: Keys, nodes: Nodes, reader: RemoteRuns, lease_s: float) -> None:
        self._link = link
        self._keys = keys
        self._nodes = nodes
        self._reader = reader
        self._lease_s = lease_s

    async def info(self, run_id: str, *, allow_stale: bool) -> RunInfo | None:
        """The facts known of a run; sees to it that it gets its end if its owner died.

        allow_stale: take them from the copy of a run that is followed here, while the store is there: so of a thousand
        clients that come back, one asks the store.
        """
        mirror = self._reader.mirrors.get(run_id) if allow_stale and self._link.up else None
        if mirror is not None and (info := mirror.info()) is not None:
            return info
        found = await self._reader.look(run_id, 0, count=0)
        if found is None:
            with suppress(RunNotFound):
                raise self._reader.not_found()
            return None
        caller, owner, last, state, first, _ = found
        if state and last and not first:
            return None  # expired
        if not state:
            self._nodes.asked(run_id, owner)
        return RunInfo(run_id, caller, first or 1, last, bool(state))

    async def cancel(self, run_id: str, by: CancelledBy) -> bool:
        """Asks the owner to end a run; False where it had ended, or somebody else asked before."""
        owner = await self._link.run(ASK, [self._keys.meta(run_id)], f"{by} {secrets.token_hex(4)}")
        if owner is None:
            raise self._reader.not_found()
        if owner == 0:
            return False
        self._nodes.asked(run_id, text(owner))
        self._nodes.order(text(owner), f"x {run_id} {by}")
        return True

    async def settle(self, run_id: str) -> None:
        """Waits for the end of a run whose owner does not hear, until it is sure that it died, or that it lives."""
        found = await self._reader.look(run_id, 0, count=0)
        if found is None or found[3] or await self._hears(owner := found[1], run_id):
            return
        follower = self._reader.follow(run_id, found[2], idle_s=self._lease_s / 3, watching=False, at_least=0)
        with closing(follower), suppress(TimeoutError, PositionLost, RunNotFound):
            async with asyncio.timeout(_DEATH_LEASES * self._lease_s):
                async for batch in follower:
                    if batch.events or await self._hears(owner, run_id):
                        return

    async def _hears(self, owner: str, run_id: str) -> bool:
        """True if a process hears orders: one that was killed has no connection any more."""
        return bool(await self._link.command("PUBLISH", self._keys.node(owner), f"s {run_id}"))
