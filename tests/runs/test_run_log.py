"""What every run log promises; another implementation is one more entry in `LOGS`."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Sequence

import pytest

from llmstream.errors import RunNotFound
from llmstream.events import Event, Token
from llmstream.runs.log import PositionLost, RunLog
from llmstream.runs.memory import MemoryLog
from tests.support.run_logs import (
    END,
    MakeLog,
    Store,
    begin,
    collect,
    missed,
    new,
    started,
    tokens,
)


async def test_an_empty_log_without_a_position_recovers(log: RunLog) -> None:
    """Who comes before the first event gets it when it is there."""
    await started(log)
    follower = log.follow("r", 0, idle_s=20)
    log.append("r", tokens(1))
    assert [Token("1")] == list((await anext(follower)).events)
    follower.close()


async def test_position_8_of_10_recovers_2(log: RunLog) -> None:
    """Who has eight of ten gets two."""
    await started(log, 10)
    assert tokens(2, 9) == await missed(log, 8, 2)


async def test_more_than_one_reply_holds_comes_in_several(log: RunLog) -> None:
    """More than one reply may hold is no loss: whatever was missed comes, in batches of bounded size."""
    await started(log, 10_000, ended=True)
    follower = log.follow("r", 0, idle_s=20)
    sizes = [len(batch.events) async for batch in follower]
    assert 10_001 == sum(sizes)
    assert max(sizes) <= 1024


async def test_large_events_come_in_small_batches(log: RunLog) -> None:
    """A follower takes about 64 kB at a time, not the whole run."""
    await log.create(new())
    log.append("r", [*[Token("x" * 1300)] * 1000, END])
    await log.close("r")
    follower = log.follow("r", 0, idle_s=20)
    sizes = [sum(len(event.text) for event in batch.events if isinstance(event, Token)) async for batch in follower]
    assert max(sizes) <= 2**17


@pytest.mark.parametrize(("after", "reason"), [(11, "future"), (10**9, "future"), (-1, "invalid")])
async def test_a_position_that_never_was_is_lost(log: RunLog, after: int, reason: str) -> None:
    """A position in the future, or before the beginning, is told apart from one that can be honoured."""
    await started(log, 10)
    with pytest.raises(PositionLost) as lost:
        await begin(log, after)
    assert reason == lost.value.reason


async def test_a_position_that_was_trimmed_is_lost(store: Store) -> None:
    """Who misses an event that is there no more is told so; from the first one that is left on, everything comes."""
    log = store.make(max_log_bytes=1_000)
    await started(log, 5)
    await log.info("r")  # so that a store has it in two pieces
    log.append("r", tokens(5, 6))
    first = await store.trim(log)
    info = await log.info("r")
    assert info is not None
    assert (first, 10) == (info.first, info.last)
    expected = ["trimmed" if after + 1 < first else tokens(10 - after, after + 1) for after in range(11)]
    assert expected == [await missed_or_lost(log, after) for after in range(11)]


async def missed_or_lost(log: RunLog, after: int) -> Sequence[Event] | str:
    """What ten events hold after this one, or why that can't be told."""
    try:
        return await missed(log, after, 10 - after)
    except PositionLost as lost:
        return lost.reason


async def test_a_position_at_the_end_waits_for_more(log: RunLog) -> None:
    """Who has all there is gets nothing until there is more."""
    await started(log, 10)
    follower = log.follow("r", 10, idle_s=0.01)
    assert [] == list((await anext(follower)).events)
    log.append("r", tokens(1, 11))
    assert [Token("11")] == list((await anext(follower)).events)
    follower.close()


async def test_without_a_position_everything_comes(log: RunLog) -> None:
    """Who has nothing gets the whole run from its start."""
    await started(log, 10, ended=True)
    assert [*tokens(10), END] == await collect(log)


async def test_a_position_of_an_expired_run_is_not_found(make_log: MakeLog) -> None:
    """A run that is forgotten can't be followed from the middle, nor looked up."""
    log = make_log(replay_s=0)
    await started(log, 10, ended=True)
    with pytest.raises(RunNotFound):
        await begin(log, 5)
    assert await log.info("r") is None


async def test_the_end_of_an_expired_run_is_still_known(make_log: MakeLog) -> None:
    """Who had everything of a run that is forgotten since is told that there is nothing more."""
    log = make_log(replay_s=0)
    await started(log, 10, ended=True)
    assert [] == await collect(log, after=11)


async def test_an_unknown_run_is_not_found(log: RunLog) -> None:
    """Nobody can follow, look up or cancel what never was."""
    with pytest.raises(RunNotFound):
        await begin(log, 0)
    with pytest.raises(RunNotFound):
        await log.cancel("r", "stop")
    assert await log.info("r") is None


async def test_what_is_known_of_a_run(log: RunLog) -> None:
    """Its caller, its first and last number, and whether it has ended."""
    await started(log, 3, caller="ann")
    info = await log.info("r")
    assert info is not None
    assert ("r", "ann", 1, 3, False) == (info.id, info.caller, info.first, info.last, info.ended)
    log.append("r", [END])
    await log.close("r")
    info = await log.info("r")
    assert info is not None
    assert (4, True) == (info.last, info.ended)


async def test_events_appended_together_come_together(log: RunLog) -> None:
    """A batch is what was ready, not one event."""
    await started(log)
    follower = log.follow("r", 0, idle_s=20)
    log.append("r", tokens(3))
    log.append("r", tokens(2, 4))
    batch = await anext(follower)
    assert (1, tokens(5)) == (batch.first, list(batch.events))
    follower.close()


async def test_an_empty_batch_comes_after_each_silence(log: RunLog) -> None:
    """Silence is told again and again, also before the first event, and its number is the next one."""
    await started(log)
    follower = log.follow("r", 0, idle_s=0.01)
    assert [(1, [])] * 3 == [(batch.first, list(batch.events)) for batch in [await anext(follower) for _ in range(3)]]
    log.append("r", tokens(1))
    assert 1 == len((await anext(follower)).events)
    batch = await anext(follower)
    assert (2, []) == (batch.first, list(batch.events))
    follower.close()


async def test_the_idle_time_may_be_changed(log: RunLog) -> None:
    """A shorter one counts from the next batch on, also after a wait that would have lasted longer."""
    await started(log)
    follower = log.follow("r", 0, idle_s=20)
    asyncio.get_running_loop().call_soon(log.append, "r", tokens(1))  # while it is waited for
    assert 1 == len((await anext(follower)).events)
    follower.idle_s = 0.01
    async with asyncio.timeout(5):
        assert [] == list((await anext(follower)).events)
    follower.close()


async def test_many_followers_get_the_same(log: RunLog) -> None:
    """Whoever follows, from wherever, gets every event after that once."""
    await started(log)
    followers = [asyncio.create_task(collect(log)) for _ in range(100)]
    for number in range(50):
        log.append("r", tokens(2, number * 2 + 1))
        if number % 7 == 0:
            await asyncio.sleep(0)
    late = [asyncio.create_task(collect(log, after)) for after in range(0, 100, 9)]
    log.append("r", [END])
    await log.close("r")
    expected = [*tokens(100), END]
    assert [expected] * 100 == await asyncio.gather(*followers)
    assert [expected[after:] for after in range(0, 100, 9)] == await asyncio.gather(*late)


async def test_a_follower_lives_in_another_loop(log: RunLog) -> None:
    """A thread with a loop of its own follows as well, while events come."""
    await started(log)
    there = threading.Event()
    results: list[list[Event]] = []

    async def elsewhere() -> None:
        follower = log.follow("r", 0, idle_s=20)
        there.set()
        found: list[Event] = []
        async for batch in follower:
            found += batch.events
        follower.close()
        results.append(found)

    threads = [threading.Thread(target=lambda: asyncio.run(elsewhere())) for _ in range(4)]
    for thread in threads:
        thread.start()
    await asyncio.to_thread(there.wait, 10)
    for number in range(2_000):
        log.append("r", tokens(1, number + 1))
        if number % 10 == 0:
            await asyncio.sleep(0)
    log.append("r", [END])
    await log.close("r")
    for thread in threads:
        await asyncio.to_thread(thread.join, 20)
    assert [[*tokens(2_000), END]] * 4 == results


async def test_closing_ends_a_follower_that_waits(log: RunLog) -> None:
    """A waiting `__anext__` ends when its follower is closed, and closing twice does no harm."""
    await started(log)
    follower = log.follow("r", 0, idle_s=20)
    waiting = asyncio.create_task(anext(follower, None))
    await asyncio.sleep(0)
    follower.close()
    follower.close()
    assert await asyncio.wait_for(waiting, 5) is None
    with pytest.raises(StopAsyncIteration):
        await anext(follower)


async def test_a_follower_ends_when_a_run_is_closed_without_an_end(log: RunLog) -> None:
    """A closed run has no more to come, whatever its last event was."""
    await started(log)
    waiting = asyncio.create_task(collect(log))
    await asyncio.sleep(0)
    await log.close("r")
    assert [] == await asyncio.wait_for(waiting, 5)


async def test_nothing_is_lost_between_replay_and_live(log: RunLog) -> None:
    """Followers that begin at any moment of a run's writing get all of it."""
    dice = random.Random(3)
    for number in range(1_000 if isinstance(log, MemoryLog) else 100):
        run = f"r{number}"
        await log.create(new(run))
        followers: list[asyncio.Task[list[Event]]] = []
        for step in range(10):
            if dice.random() < 0.4:
                followers.append(asyncio.create_task(collect(log, dice.randint(0, step), run)))
            if dice.random() < 0.7:
                await asyncio.sleep(0)
            log.append(run, tokens(1, step + 1))
        log.append(run, [END])
        await log.close(run)
        for found in await asyncio.wait_for(asyncio.gather(*followers), 20):
            assert [*tokens(10), END][11 - len(found) :] == found


async def test_a_reader_in_another_thread_races_the_writer(log: RunLog) -> None:
    """Events appended while another thread looks whether there are any are never missed."""
    count = 100_000
    await started(log)
    done: list[list[Event]] = []

    async def read() -> None:
        follower = log.follow("r", 0, idle_s=20)
        found: list[Event] = []
        async for batch in follower:
            assert batch.events, "an append went by unnoticed"
            found += batch.events
        follower.close()
        done.append(found)

    thread = threading.Thread(target=lambda: asyncio.run(read()))
    thread.start()
    for number in range(count):
        log.append("r", tokens(1, number + 1))
        if number % 3 == 0:
            await asyncio.sleep(0)
    log.append("r", [END])
    await log.close("r")
    await asyncio.to_thread(thread.join, 30)
    assert [[*tokens(count), END]] == done
