"""From pushing to pulling: what a coroutine hands to a function, as an async generator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def pulled(
    start: Callable[[Callable[[list[T]], None]], Coroutine[Any, Any, None]],
) -> AsyncGenerator[list[T], None]:
    """What the coroutine that `start` makes hands over, in lists of what came together or while nobody asked.

    Raises what the coroutine raises, after what it handed over before. Closing the generator cancels it, and returns
    when it has ended.
    """
    items: list[T] = []
    ready = asyncio.Event()

    def receive(more: list[T]) -> None:
        items.extend(more)
        ready.set()

    task = asyncio.create_task(start(receive))
    task.add_done_callback(lambda done: ready.set())
    try:
        while items or not task.done():
            batch = items.copy()
            items.clear()
            ready.clear()
            if batch:
                yield batch
            else:
                await ready.wait()
        task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])
