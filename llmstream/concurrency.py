"""Async to sync and push to pull: a background event loop for code that is not async, and what a coroutine hands to a
function as an async generator.
"""

from __future__ import annotations

import asyncio
import atexit
import queue
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing
from typing import Any, TypeVar

T = TypeVar("T")
_lock = threading.Lock()
_thread: threading.Thread | None = None
_loop: asyncio.AbstractEventLoop | None = None

# A wait without a limit can't be interrupted by Ctrl-C on Windows.
_POLL_S = 0.1 if sys.platform == "win32" else None


def loop() -> asyncio.AbstractEventLoop:
    """The background loop, started at the first call; one per process, also after a fork."""
    global _thread, _loop
    with _lock:
        if _loop is None or _thread is None or not _thread.is_alive():
            _loop = asyncio.new_event_loop()
            _thread = threading.Thread(target=_loop.run_forever, name="llmstream", daemon=True)
            _thread.start()
            atexit.register(_stop, _loop, _thread)
        return _loop


def _stop(running: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    """At the end of the process: close what is open on the loop, so that no connection is left unclosed."""
    if thread.is_alive():
        asyncio.run_coroutine_threadsafe(_close(running), running).result(timeout=5)
        running.call_soon_threadsafe(running.stop)
        thread.join(timeout=5)
        running.close()


async def _close(running: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await running.shutdown_asyncgens()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that runs on the background loop; an interrupt of the caller cancels it."""
    future = asyncio.run_coroutine_threadsafe(coroutine, loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def iterate(make: Callable[[], AsyncGenerator[T, None]]) -> Iterator[T]:
    """The items of an async generator that runs on the background loop.

    The generator runs ahead of its consumer. Closing the iterator (or an interrupt while it waits) closes the
    generator, and returns when that is done.
    """
    items: queue.SimpleQueue[tuple[T] | None] = queue.SimpleQueue()

    async def pump() -> None:
        try:
            async with aclosing(make()) as source:
                async for item in source:
                    items.put((item,))
        finally:
            items.put(None)

    done = asyncio.run_coroutine_threadsafe(pump(), loop())
    try:
        while (item := _get(items)) is not None:
            yield item[0]
        done.result()
    finally:
        if not done.done():
            done.cancel()
            while _get(items) is not None:
                pass


def _get(items: queue.SimpleQueue[tuple[T] | None]) -> tuple[T] | None:
    while True:
        try:
            return items.get(timeout=_POLL_S)
        except queue.Empty:
            continue


# What the generator gives at a time: a consumer may take a long time for each item without ever waiting.
_AT_A_TIME = 64

# With how many items that nobody has asked for it says that it is full.
_FULL = 1024


async def pulled(
    start: Callable[[Callable[[list[T]], asyncio.Future[None] | None]], Coroutine[Any, Any, None]],
) -> AsyncGenerator[list[T], None]:
    """What the coroutine that `start` makes hands over, in lists of what came together or while nobody asked.

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
        if len(items) >= _FULL and room is None:
            room = asyncio.get_running_loop().create_future()
        return room

    task = asyncio.create_task(start(receive))
    task.add_done_callback(lambda done: ready.set())
    try:
        while items or not task.done():
            ready.clear()
            batch = items[:_AT_A_TIME]
            del items[:_AT_A_TIME]
            if room is not None and len(items) < _FULL:
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
