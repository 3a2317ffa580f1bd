"""Runs that may stand in the store although nobody said so: what creates them broke off. They are taken back."""

from __future__ import annotations

from llmstream.errors import StoreUnavailable
from llmstream.runs.log import NewRun
from llmstream.runs.redis.store.connection import Link
from llmstream.runs.redis.store.keys import Keys
from llmstream.runs.redis.store.scripts import UNDO


class Doubts:
    """The runs of this process whose creation had no answer."""

    def __init__(self, link: Link, keys: Keys, node: str) -> None:
        self._link = link
        self._keys = keys
        self._node = node
        self._runs: dict[str, NewRun] = {}

    def add(self, run: NewRun) -> None:
        """The run may be there: take it back, now or when the store answers again."""
        self._runs[run.id] = run
        self.clear()

    def clear(self) -> None:
        """Take back what is in doubt, behind the caller."""
        self._link.spawn(self._clear())

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._runs

    async def _clear(self) -> None:
        for run_id in list(self._runs):
            try:
                await self.take_back(run_id)
            except StoreUnavailable:
                return

    async def take_back(self, run_id: str) -> bool:
        """Takes a run that is in doubt out of the store, and its key with it; False for any other."""
        if (run := self._runs.get(run_id)) is None:
            return False
        meta = self._keys.meta(run_id)
        key = meta if run.key is None else self._keys.key(run.caller, run.key)
        await self._link.run(UNDO, [meta, key], self._node, run_id, self._keys.nodes)
        self._runs.pop(run_id, None)
        return True
