"""What a process keeps of other processes' runs: no more than it may, and nobody gets less for it."""

from __future__ import annotations

import asyncio
import sys
import threading

from llmstream.events import Event, Token
from llmstream.runs.redis.log import RedisLog
from tests.support.redis_runs import END, MakeLog, collect, follow, new

MOST = 300_000


def long(first: int, last: int) -> list[Event]:
    """Tokens of 100 characters."""
    return [Token(f"{number:100}") for number in range(first, last + 1)]


async def test_what_there_is_no_room_for_is_read_from_the_store(process: MakeLog) -> None:
    """Followers at any place, slow ones and late ones, in this loop and in another thread, have every event."""
    owner, other = process(), process(max_log_bytes=MOST)
    for run in ("r", "s"):
        await owner.create(new(run))
        owner.append(run, long(1, 1000))
    following = [await follow(other, id=run) for run in ("r", "s", "r")]
    slow = other.follow("r", 0, idle_s=60)
    assert 1 == (await anext(slow)).first
    for first in range(1001, 10_000, 1000):
        for run in ("r", "s"):
            owner.append(run, long(first, first + 999))
        await owner.stored()
    for run in ("r", "s"):
        owner.append(run, [END])
        await owner.close(run)
    whole = [*long(1, 10_000), END]
    assert [whole] * 3 == await asyncio.wait_for(asyncio.gather(*following), 60)
    assert other.figures()["store_mirrored_bytes"] < 1.5 * MOST
    assert whole[5000:] == await collect(other, 5000)
    seen = 0
    async for batch in slow:
        assert batch.events == whole[batch.first - 1 : batch.first - 1 + len(batch.events)]
        seen = batch.first - 1 + len(batch.events)
    slow.close()
    assert 10_001 == seen
    assert whole == await asyncio.to_thread(_in_another_loop, other)
    assert other.figures()["store_mirrored_bytes"] < 1.5 * MOST


def _in_another_loop(log: RedisLog) -> list[Event]:
    assert threading.current_thread() is not threading.main_thread()
    return asyncio.run(collect(log))


async def test_a_store_that_is_behind_says_how_far(process: MakeLog) -> None:
    """How long it has been behind is told in `/health` and in the metrics; nothing once it has everything."""
    owner = process()
    await owner.create(new())
    owner.append("r", long(1, 1))
    assert 1 == owner.figures()["store_unstored_events"]
    await owner.stored()
    assert (0, 0) == (owner.figures()["store_unstored_events"], owner.figures()["store_lag_seconds"])
    health = owner.health()
    assert health is not None
    assert 0 == health["lag_s"]


async def test_the_figures_are_read_in_any_thread(process: MakeLog) -> None:
    """A metrics endpoint in another loop reads them while runs come and go."""
    owner = process()
    await owner.create(new())
    failures: list[Exception] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            try:
                owner.figures()
            except Exception as error:
                failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    reading = threading.Thread(target=read)
    reading.start()
    try:
        for number in range(50):
            await owner.create(new(f"r{number}"))
            owner.append(f"r{number}", long(1, 1))
        await owner.stored()
    finally:
        sys.setswitchinterval(interval)
        over.set()
        reading.join()
    assert not failures
