"""Push to pull: what a coroutine hands to a function, as an async generator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# What the generator gives at a time: a consumer may take a long time for each item without ever waiting.
AT_A_TIME = 64

# With how many items that nobody has asked for it says that it is full.
FULL = 1024


async def pulled(
    start: Callable[[Callable[[list[T]], asyncio.Future[None] | None]], Coroutine[Any, Any, None]],
    *,
    at_a_time: int = AT_A_TIME,
) -> AsyncGenerator[list[T], None]:
    """The lists that the coroutine made by `start` hands over; those of which nobody asked meanwhile become one.

    at_a_time: how many items a list has at most.

    The function it hands them to gives a future, done when there is room again, once there is a lot that nobody has
    asked for. Raises what the coroutine raises, after what it handed over before. Closing the generator cancels it, and
    returns when it has ended.
    """
    store: _Store[T] = _Store()
    task = asyncio.create_task(start(store.put))
    task.add_done_callback(lambda done: store.ready.set())
    try:
        while store.items or not task.done():
            store.ready.clear()
            if batch := store.take(at_a_time):
                yield batch
                if store.items:
                    await asyncio.sleep(0)  # let the others have their turn
            else:
                await store.ready.wait()
        task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


class _Store(Generic[T]):
    """Items that nobody has asked for yet; ready: set when there are new ones."""

    def __init__(self) -> None:
        self.items: list[T] = []
        self.ready = asyncio.Event()
        self._room: asyncio.Future[None] | None = None

    def put(self, more: list[T]) -> asyncio.Future[None] | None:
        """Takes these in; the future is done when there is room again, None where there is."""
        self.items.extend(more)
        self.ready.set()
        if len(self.items) >= FULL and self._room is None:
            self._room = asyncio.get_running_loop().create_future()
        return self._room

    def take(self, count: int) -> list[T]:
        """Gives out the first items, at most so many."""
        batch = self.items[:count]
        del self.items[:count]
        if self._room is not None and len(self.items) < FULL:
            self._room.set_result(None)
            self._room = None
        return batch
