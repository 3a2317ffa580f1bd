"""The news of runs of other processes, as this one is told them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from llmstream.errors import StoreCorrupt, StoreUnavailable
from llmstream.runs.log import END_OF_LOST
from llmstream.runs.redis.others.mirror import Mirror
from llmstream.runs.redis.store.codec import numbers
from llmstream.runs.redis.store.connection import Link
from llmstream.runs.redis.store.keys import Keys, is_run_id
from llmstream.runs.redis.store.scripts import UNFOLLOW

# So many lines are put into the copies before their followers get their turn, who would wait for those of all others.
_AT_ONCE = 8


class Told:
    """Puts what is told into the copies; `read` reads what was not told."""

    def __init__(
        self, link: Link, keys: Keys, node: str, mirrors: Mapping[str, Mirror], read: Callable[[Mirror], None]
    ) -> None:
        self._link = link
        self._keys = keys
        self._node = node
        self._mirrors = mirrors
        self._read = read
        # Runs that are told here although nobody follows them any more, until the store knows.
        self._left: set[str] = set()

    async def hear(self, news: bytes) -> None:
        """Hears of entries: a line each, with the run's meta, the id, and the events unless they are long."""
        left = set[str]()
        for number, line in enumerate(news.split(b"\n"), 1):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            meta, _, entry = line.partition(b" ")
            run_id = self._keys.run_of(meta)
            mirror = self._mirrors.get(run_id)
            if mirror is None or mirror.failure is not None:
                left.add(run_id)
            elif not mirror.closed:
                self._put(mirror, entry)
        if left := {run_id for run_id in left - self._left if is_run_id(run_id)}:
            self._left |= left
            self._link.spawn(self._unfollow(left))

    def _put(self, mirror: Mirror, entry: bytes) -> None:
        id_, _, data = entry.partition(b" ")
        try:
            last, count = numbers(id_)
            if last <= mirror.have and count:
                return
            if last == END_OF_LOST or not data or not mirror.owner or not mirror.put(last, count, data):
                self._read(mirror)
        except StoreCorrupt as error:
            mirror.fail(error)

    async def _unfollow(self, runs: set[str]) -> None:
        """Has no more told of runs that nobody follows here."""
        try:
            await self._link.run(UNFOLLOW, [self._keys.meta(run_id) for run_id in runs], self._node)
        except StoreUnavailable:
            return  # it is told again
        finally:
            self._left -= runs
            for run_id in runs:
                if (mirror := self._mirrors.get(run_id)) is not None:  # somebody came meanwhile
                    self._read(mirror)
