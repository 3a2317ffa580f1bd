"""Async to sync: a background event loop for code that is not async, and threads for what blocks.

No wait here is for ever: not in the loop's own thread, not in Python's garbage collector, not in a forked child.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import functools
import gc
import inspect
import os
import queue
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from typing import Any, Generic, TypeVar

from llmstream.errors.own_frames import shortened

T = TypeVar("T")
_lock = threading.Lock()
_thread: threading.Thread | None = None
_loop: asyncio.AbstractEventLoop | None = None

# A wait without a limit can't be interrupted by Ctrl-C on Windows.
_POLL_S = 0.1 if sys.platform == "win32" else None

_OWN_THREAD = (
    "A sync call of llmstream, made by async code in llmstream's own event loop, would wait for itself for ever. "
    "Make the async call there: astream, astream_events, or a model's ainvoke."
)
_LOOP_GONE = "The event loop that makes this stream is not in this process (any more). Open the stream after the fork."


class ThreadPool:
    """Threads for what blocks, apart from everybody else's; at most `most` at once. A forked child gets new ones."""

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._pid = 0

    def executor(self) -> ThreadPoolExecutor:
        """The executor of this process that starts the threads."""
        if self._pid != os.getpid():
            self._executor, self._pid = ThreadPoolExecutor(self._most, self._name), os.getpid()
        return self._executor

    async def run(self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """The result of a function that is called in a thread, as by `asyncio.to_thread`."""
        call = functools.partial(contextvars.copy_context().run, function, *arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(self.executor(), call)


# For a chain's sync steps. One may wait for others, asked through `stream`, and those for further ones: with a limit
# of what a machine has of processors, all of them would wait for a thread for ever.
steps = ThreadPool(10_000, "llmstream-step")

# For what of our own blocks, such as asking for an address, which never waits behind a user's code.
questions = ThreadPool(8, "llmstream-ask")


async def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function that may be async; one that is not runs in a thread, so that it delays nobody else."""
    made = function(*arguments) if _is_coroutine(function) else await steps.run(function, *arguments)
    return await made if inspect.isawaitable(made) else made


def _is_coroutine(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def loop() -> asyncio.AbstractEventLoop:
    """The background loop, started at the first call; one per process, also after a fork."""
    return _background()[0]


def _background() -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
    global _thread, _loop
    with _lock:
        if _loop is None or _thread is None or not _thread.is_alive():
            _loop = asyncio.new_event_loop()
            _loop.set_default_executor(steps.executor())  # LangChain runs sync steps in the loop's own
            _thread = threading.Thread(target=_loop.run_forever, name="llmstream", daemon=True)
            _thread.start()
            atexit.register(_stop, _loop, _thread)
            if _note_collection not in gc.callbacks:
                gc.callbacks.append(_note_collection)
        return _loop, _thread


_left_behind: list[object] = []


def _after_fork() -> None:
    """Forgets the loop in a forked child: its thread is not there, and another one may have held the lock."""
    global _lock, _thread, _loop
    _left_behind.append(_loop)  # it shares its selector with the parent: nothing of it may be closed
    _lock, _thread, _loop = threading.Lock(), None, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _stop(running: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    """Closes what is open on the loop at the end of the process, so that no connection is left unclosed."""
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
    running, thread = _background()
    if threading.current_thread() is thread:
        coroutine.close()
        raise RuntimeError(_OWN_THREAD)
    future = asyncio.run_coroutine_threadsafe(coroutine, running)
    try:
        return future.result()
    except BaseException as error:
        future.cancel()
        shortened(error)
        raise


# The thread in which Python's garbage collector runs now, 0 where it does not.
_collecting = 0


def _note_collection(phase: str, info: object) -> None:
    global _collecting
    _collecting = threading.get_ident() if phase == "start" else 0


class _End:
    """The end of a generator, put after its items; error: the exception that ended it, None for a complete one."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def iterate(make: Callable[[], AsyncGenerator[T, None]]) -> Generator[T, None, None]:
    """The items of an async generator that runs on the background loop.

    The generator runs ahead of its consumer. Closing the iterator (or an interrupt while it waits) closes the
    generator, and returns when that is done; where Python's garbage collector closes it, at once.
    """
    running, thread = _background()
    if threading.current_thread() is thread:
        raise RuntimeError(_OWN_THREAD)
    pump = _Pump(make, running)
    running.call_soon_threadsafe(pump.begin)
    last: tuple[T] | _End | None = None
    try:
        while not isinstance(last := _get(pump.items, thread), _End):
            yield last[0]
        if last.error is not None:
            raise shortened(last.error)
    except KeyboardInterrupt as interrupt:  # at the caller's own line, not inside the wait
        raise interrupt.with_traceback(None) from None
    finally:
        if not isinstance(last, _End) and thread.is_alive():
            with suppress(RuntimeError):  # the loop was closed meanwhile, with all that ran in it
                running.call_soon_threadsafe(pump.leave)
                if threading.get_ident() not in (thread.ident, _collecting):
                    while not isinstance(_get(pump.items, thread), _End):
                        pass


class _Pump(Generic[T]):
    """The run of an async generator on a loop, and the queue that gets its items and then its end."""

    def __init__(self, make: Callable[[], AsyncGenerator[T, None]], running: asyncio.AbstractEventLoop) -> None:
        self.items: queue.SimpleQueue[tuple[T] | _End] = queue.SimpleQueue()
        self._make = make
        self._running = running
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Starts it; in the loop's thread."""
        self._task = self._running.create_task(self._pump())
        # Not in the task itself: one that is cancelled before its first step never gets there.
        self._task.add_done_callback(lambda done: self.items.put(_End(None if done.cancelled() else done.exception())))

    async def _pump(self) -> None:
        async with aclosing(self._make()) as source:
            async for item in source:
                self.items.put((item,))

    def leave(self) -> None:
        """Ends it; in the loop's thread."""
        if self._task is not None:
            self._task.cancel()


def _get(items: queue.SimpleQueue[tuple[T] | _End], thread: threading.Thread) -> tuple[T] | _End:
    """The next item that `thread` puts into a queue."""
    if threading.get_ident() == thread.ident:
        raise RuntimeError(_OWN_THREAD)
    while True:
        alive = thread.is_alive()  # looked at first, so that what it put last is found
        try:
            return items.get(timeout=_POLL_S if alive else 0)
        except queue.Empty:
            if not alive:
                raise RuntimeError(_LOOP_GONE) from None
