"""The places, and how long a queue in front of them is expected to take."""

from __future__ import annotations

import asyncio

from llmstream.runs.queue import Places


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_wait_is_as_long_as_the_last_runs_were() -> None:
    """Each place is free again when its run has taken the mean time; those behind wait for the next ones."""
    clock = Clock()
    places = Places(2, 4, clock=clock)
    first, second = places.take(), places.take()
    assert [None] == places.etas(1)
    clock.now = 10
    first.release()
    places.take()
    clock.now = 12
    assert [None, 8.0, 12.5] == places.etas(3), (
        "the first is due since 2 s, so it takes a quarter more; too soon to tell"
    )
    clock.now = 50
    second.release()
    assert [7.5, 37.5] == places.etas(2), "the mean is 30 s by now"


async def test_who_waits_is_told_again_how_long() -> None:
    """The position at once and whenever it changes; how long, also while nothing changes."""
    clock = Clock()
    places = Places(1, 4, told_from_s=0, clock=clock)
    done = places.take()
    clock.now = 40
    done.release()
    active, first, second = (places.take() for _ in range(3))
    told: asyncio.Queue[tuple[int, float | None]] = asyncio.Queue()
    waiting = asyncio.create_task(second.wait(lambda position, eta_s: told.put_nowait((position, eta_s))))
    assert [(2, 80.0), (2, 80.0)] == [await told.get(), await told.get()]
    clock.now = 50
    first.release()
    assert (1, 30.0) == await told.get()
    active.release()
    await waiting
    assert told.empty()
