"""Async code driven by sync code."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
import time
from collections.abc import AsyncGenerator

import pytest

from llmstream import concurrency


async def numbers(closed: threading.Event, count: int = 3) -> AsyncGenerator[int, None]:
    """Some numbers, and then, for more than three, silence."""
    try:
        for number in range(count):
            if number == 3:
                await asyncio.Event().wait()
            yield number
    finally:
        await asyncio.sleep(0)
        closed.set()


def test_iterate() -> None:
    """All items, in their order; the generator is closed."""
    closed = threading.Event()

    assert [0, 1, 2] == list(concurrency.iterate(lambda: numbers(closed)))
    assert closed.is_set()


def test_leaving_closes_the_generator() -> None:
    """Closing the iterator returns when the generator is closed, also one that waits."""
    closed = threading.Event()
    items = concurrency.iterate(lambda: numbers(closed, 5))

    assert [0, 1, 2] == [next(items) for _ in range(3)]
    items.close()
    assert closed.is_set()


def test_errors_come_through() -> None:
    """What the generator raises is raised, after the items before it."""

    async def failing() -> AsyncGenerator[int, None]:
        yield 1
        raise KeyError("x")

    items = concurrency.iterate(failing)
    assert 1 == next(items)
    with pytest.raises(KeyError):
        next(items)


def test_run() -> None:
    """A coroutine's result and its error."""

    async def double(number: int) -> int:
        if number < 0:
            raise ValueError("negative")
        return 2 * number

    assert 4 == concurrency.run(double(2))
    with pytest.raises(ValueError, match="negative"):
        concurrency.run(double(-1))


async def test_inside_a_running_loop() -> None:
    """Sync code may be called where a loop runs already."""
    assert [0, 1, 2] == list(concurrency.iterate(lambda: numbers(threading.Event())))


def test_one_loop_for_all_threads() -> None:
    """However many threads ask at once, there is one loop."""
    loops: set[int] = set()
    threads = [threading.Thread(target=lambda: loops.add(id(concurrency.loop()))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 == len(loops)


def _child(numbers_read: multiprocessing.SimpleQueue[list[int]]) -> None:
    numbers_read.put(list(concurrency.iterate(lambda: numbers(threading.Event()))))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on Windows")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_after_a_fork() -> None:
    """A forked process, which has no thread of its parent's, gets a loop of its own."""
    concurrency.loop()
    context = multiprocessing.get_context("fork")
    read = context.SimpleQueue()
    process = context.Process(target=_child, args=(read,))
    process.start()
    process.join(timeout=20)

    assert 0 == process.exitcode
    assert [0, 1, 2] == read.get()


def test_consumer_that_is_slow() -> None:
    """Nothing is lost where the consumer is slower than the generator."""
    items = concurrency.iterate(lambda: numbers(threading.Event()))
    time.sleep(0)

    assert [0, 1, 2] == list(items)
