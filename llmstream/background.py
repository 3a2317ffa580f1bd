"""An event loop in a thread of its own, so that sync code can drive async code: also where a loop runs already."""

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
