"""Push to pull: what a coroutine hands to a function, as an async generator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

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
    items: list[T] = []
    ready = asyncio.Event()
    room: asyncio.Future[None] | None = None

    def receive(more: list[T]) -> asyncio.Future[None] | None:
        nonlocal room
        items.extend(more)
        ready.set()
        if len(items) >= FULL and room is None:
            room = asyncio.get_running_loop().create_future()
        return room

    task = asyncio.create_task(start(receive))
    task.add_done_callback(lambda done: ready.set())
    try:
        while items or not task.done():
            ready.clear()
            batch = items[:at_a_time]
            del items[:at_a_time]
            if room is not None and len(items) < FULL:
                room.set_result(None)
                room = None
            if batch:
                yield batch
                if items:
                    await asyncio.sleep(0)  # let the others have their turn
            else:
                await ready.wait()
        task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])
