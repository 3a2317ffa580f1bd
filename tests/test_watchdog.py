"""The timer for silence: it goes off once nothing was heard for too long, and not where something was."""

from __future__ import annotations

import asyncio
import gc
import weakref

from llmstream.concurrency import Watchdog

LIMIT_S = 30
SOON_S = 0.001


async def test_silence_is_told_once() -> None:
    """What is due expires, and the watchdog is at rest then."""
    loop, expired = asyncio.get_running_loop(), asyncio.Event()
    watchdog, due = Watchdog(), loop.time() + SOON_S
    watchdog.start(lambda: due, expired.set)
    assert watchdog.running

    await asyncio.wait_for(expired.wait(), LIMIT_S)

    assert not watchdog.running


async def test_what_is_heard_moves_it() -> None:
    """However often it moves on, it is looked at again when it is due by then."""
    loop, expired, looks = asyncio.get_running_loop(), asyncio.Event(), 0

    def due() -> float:
        nonlocal looks
        looks += 1
        return loop.time() + (SOON_S if looks < 5 else 0)

    Watchdog().start(due, expired.set)
    await asyncio.wait_for(expired.wait(), LIMIT_S)

    assert looks >= 5


async def test_a_loop_that_was_held_up_reads_first() -> None:
    """What comes in the loop's turn after the time is over still counts as heard."""
    loop, calls = asyncio.get_running_loop(), []
    heard_at, end = loop.time() - LIMIT_S, asyncio.Event()

    def hear() -> None:
        nonlocal heard_at
        heard_at = loop.time() + LIMIT_S

    watchdog, after = Watchdog(), Watchdog()
    watchdog.start(lambda: heard_at, lambda: calls.append("expired"))
    loop.call_soon(loop.call_soon, hear)
    after.start(loop.time, end.set)  # takes its last look as well, so it ends after the first one has
    await asyncio.wait_for(end.wait(), LIMIT_S)

    assert [] == calls
    assert watchdog.running
    watchdog.stop()


async def test_stopped_it_holds_nothing() -> None:
    """A watchdog that is stopped keeps nothing alive, whatever asyncio does with its timer."""

    class Watched:
        def due(self) -> float:
            return asyncio.get_running_loop().time() + LIMIT_S

        def expired(self) -> None:
            """Never."""

    gc.disable()
    try:
        watchdog, watched = Watchdog(), Watched()
        seen = weakref.ref(watched)
        watchdog.start(watched.due, watched.expired)
        watchdog.stop()
        del watched

        assert seen() is None
    finally:
        gc.enable()
