"""The moment when a run of this process is left: by those who watch it here, and by those who do elsewhere."""

from __future__ import annotations

import asyncio

from llmstream.errors import StoreUnavailable
from llmstream.runs.memory import MemoryLog
from llmstream.runs.redis.own.owned import Owned
from llmstream.runs.redis.own.writer import Writer
from llmstream.runs.redis.processes import Nodes
from llmstream.runs.redis.store.connection import Link

# How long a run that nobody here watches goes on while the store can't say whether somebody does elsewhere, in seconds.
_DOUBT_S = 5.0


class Leaving:
    """Counts the watchers elsewhere as one more watcher here, as long as any process that lives has some."""

    def __init__(self, link: Link, local: MemoryLog, writer: Writer, nodes: Nodes) -> None:
        self._link = link
        self._local = local
        self._writer = writer
        self._nodes = nodes

    def left(self, owned: Owned) -> None:
        """Ends a run that nobody watches here any more, unless somebody watches it elsewhere."""
        self._link.spawn(self._left(owned))

    async def _left(self, owned: Owned) -> None:
        run_id, now = owned.new.id, asyncio.get_running_loop().time
        until = now() + _DOUBT_S
        watched: bool | None = None
        while watched is None:
            try:
                watched = await self._nodes.watched(run_id)
            except StoreUnavailable:
                watched = False if now() > until else None
                await asyncio.sleep(_DOUBT_S / 10)
        if not watched:
            self._writer.ask(owned, "left")
        elif not owned.watched_elsewhere:
            owned.watched_elsewhere = True
            self._local.watch(run_id, 1)

    def unwatched(self, run_id: str) -> None:
        """Begins the grace of a run: its last watcher in another process left."""
        owned = self._writer.owned.get(run_id)
        if owned is None:
            return
        if not owned.watched_elsewhere:  # nobody had told that there was one
            self._local.watch(run_id, 1)
        owned.watched_elsewhere = False
        self._local.watch(run_id, -1)
