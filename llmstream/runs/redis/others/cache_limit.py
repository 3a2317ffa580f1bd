"""The room for other processes' runs: the newest events are kept here as far as it goes; the store has all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from llmstream.errors import StoreUnavailable
from llmstream.events import Event
from llmstream.runs.log import PositionLost
from llmstream.runs.redis.store.codec import decode, numbers

# What is kept of a run when room is made, in bytes: what followers at reading speed are behind.
_KEPT_BYTES = 64 * 2**10


class KeptRun(Protocol):
    """A run, as far as it is kept."""

    run_id: str
    bytes: int

    def shed(self, keep_bytes: int) -> None:
        """Keep the newest events only."""


class Room:
    """About `max_bytes` for all runs together; `look` reads from the store, in the loop in which this is made."""

    def __init__(self, runs: Mapping[str, KeptRun], look: Callable[[str, int], Awaitable[Any]], max_bytes: int) -> None:
        self._runs = runs
        self._look = look
        self._max_bytes = max_bytes
        self._grown = 0
        self._loop = asyncio.get_running_loop()

    @property
    def bytes(self) -> int:
        """The approximate number of bytes that all events take; in any thread."""
        return sum(run.bytes for run in list(self._runs.values()))

    def figures(self) -> dict[str, float]:
        """For the metrics, in any thread."""
        return {"store_mirrored_runs": len(self._runs), "store_mirrored_bytes": self.bytes}

    def grow(self, size: int) -> None:
        """A run has so many bytes more. Now and then all are counted, and less is kept of the largest."""
        self._grown += size
        if self._grown < self._max_bytes // 8:
            return
        self._grown, total = 0, self.bytes
        for run in sorted(self._runs.values(), key=lambda run: -run.bytes) if total > self._max_bytes else ():
            if total > self._max_bytes // 2:
                total -= run.bytes
                run.shed(_KEPT_BYTES)
                total += run.bytes

    async def page(self, run_id: str, after: int) -> list[Event]:
        """Some events of a run after a number, from the store; in any loop.

        Raises `StoreUnavailable` where they are not there now, `PositionLost` where they never will be.
        """
        if asyncio.get_running_loop() is self._loop:
            return await self._page(run_id, after)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._page(run_id, after), self._loop))

    async def _page(self, run_id: str, after: int) -> list[Event]:
        found = await self._look(run_id, after)
        entries = found[-1] if found is not None else []
        events: list[Event] = []
        for id_, data in zip(entries[::2], entries[1::2], strict=True):
            last, count = numbers(id_)
            have = after + len(events)
            if last - count > have:
                break
            events += decode(data, count)[have - (last - count) :]
        if not events:
            raise PositionLost("trimmed") if entries else StoreUnavailable
        return events
