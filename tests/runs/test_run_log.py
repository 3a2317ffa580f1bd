"""What every run log promises; another implementation is one more entry in `LOGS`."""

from __future__ import annotations

import asyncio
import random
import secrets
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from llmstream.errors import KeyConflict, RunNotFound
from llmstream.events import CancelledBy, Event, Finished, Timings, Token, Usage
from llmstream.runs.log import Follower, NewRun, PositionLost, RunInfo, RunLog
from llmstream.runs.memory import MemoryLog
from llmstream.runs.redis.log import RedisLog
from llmstream.settings import Settings
from tests.support.redis import RedisServer

MakeLog = Callable[..., RunLog]
END = Finished("stop", Usage(), Timings())
# Short, so that nobody waits long for a process that is gone; long enough for a busy machine.
LEASE_S = 1.5


@dataclass(frozen=True)
class Store:
    """An implementation of the run log.

    make: takes replay_s and max_log_bytes. trim: has a log drop the oldest events of the run "r", which goes on, where
    it ever does such a thing, and gives the number of the first one that must be left.
    """

    make: MakeLog
    trim: Callable[[RunLog], Awaitable[int]]


async def fill(log: RunLog) -> int:
    """Nothing is ever trimmed in memory, however much there is beyond the limit: only whole runs that ended go."""
    await started(log, 500, "ended", ended=True)
    await started(log, 500, "other")
    return 1


class Pair(RunLog):
    """Two processes with one store: the first owns all runs, and everybody else is with the second.

    They may be one. What was appended is stored before it is asked for, and so is the end of a run.
    """

    def __init__(self, owner: RedisLog, other: RedisLog) -> None:
        self.owner = owner
        self._other = other

    async def create(self, run: NewRun) -> str:
        await self._other.start()  # in this loop, which outlives those of the threads
        return await self.owner.create(run)

    def append(self, run_id: str, events: Sequence[Event]) -> None:
        self.owner.append(run_id, events)

    async def close(self, run_id: str) -> None:
        await self.owner.close(run_id)
        await self.owner.stored()

    async def find(self, caller: str, key: str, fingerprint: str) -> str | None:
        return await self._other.find(caller, key, fingerprint)

    async def info(self, run_id: str) -> RunInfo | None:
        await self.owner.stored()
        return await self._other.info(run_id)

    def follow(self, run_id: str, after: int, **options: Any) -> Follower:
        return self._other.follow(run_id, after, **options)

    async def cancel(self, run_id: str, by: CancelledBy) -> bool:
        await self.owner.stored()
        return await self._other.cancel(run_id, by)

    async def swap(self, caller: str, chat: str, run_id: str, note: str) -> str | None:
        return await self.owner.swap(caller, chat, run_id, note)

    async def named(self, caller: str, chat: str) -> tuple[str, str] | None:
        return await self._other.named(caller, chat)

    async def aclose(self) -> None:
        await self._other.aclose()
        await self.owner.aclose()


LOGS = ("memory", "redis here", "redis elsewhere")


@pytest.fixture(params=LOGS)
async def store(request: pytest.FixtureRequest) -> AsyncGenerator[Store]:
    """Each of them; what was made is closed after the test."""
    if request.param == "memory":
        yield Store(MemoryLog, fill)
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    prefix, made = secrets.token_hex(4), list[RunLog]()

    def make(*, replay_s: float = 600, max_log_bytes: int = 2**28) -> RunLog:
        settings = Settings(
            redis_url=server.url, redis_prefix=prefix, replay_s=replay_s, max_log_bytes=max_log_bytes, lease_s=LEASE_S
        )
        here = RedisLog(settings)
        made.append(Pair(here, here if request.param == "redis here" else RedisLog(settings)))
        return made[-1]

    async def trim(log: RunLog) -> int:
        await fill(log)
        await log.info("r")
        server.client.xtrim(f"{prefix}:1:{{r}}:e", maxlen=1, approximate=False)
        return 6 if request.param == "redis elsewhere" else 1

    yield Store(make, trim)
    for log in made:
        await log.aclose()
    await asyncio.to_thread(server.wait_until_alone)


@pytest.fixture
def make_log(store: Store) -> MakeLog:
    """Makes a log; takes replay_s and max_log_bytes."""
    return store.make


@pytest.fixture
def log(make_log: MakeLog) -> RunLog:
    """A log with its defaults."""
    return make_log()


def new(id: str = "r", **fields: Any) -> NewRun:
    """A run nobody asks to end."""
    return NewRun(id=id, **{"on_cancel": lambda by: None, **fields})


def tokens(count: int, first: int = 1) -> list[Event]:
    """Tokens that say their numbers."""
    return [Token(str(number)) for number in range(first, first + count)]


async def started(log: RunLog, count: int = 0, id: str = "r", *, ended: bool = False, **fields: Any) -> None:
    """A run with so many tokens, the terminal event after them if it has ended."""
    await log.create(new(id, **fields))
    events = tokens(count) + ([END] if ended else [])
    if events:
        log.append(id, events)
    if ended:
        await log.close(id)


async def collect(log: RunLog, after: int = 0, id: str = "r", *, idle_s: float = 20) -> list[Event]:
    """All events after a position, to the end; their numbers must be without gaps."""
    found: list[Event] = []
    follower = log.follow(id, after, idle_s=idle_s)
    async for batch in follower:
        assert after + len(found) + 1 == batch.first
        found += batch.events
    follower.close()
    return found


async def missed(log: RunLog, after: int, count: int) -> Sequence[Event]:
    """The next so many events, of a run that goes on."""
    found: list[Event] = []
    follower = log.follow("r", after, idle_s=20)
    while len(found) < count:
        found += (await anext(follower)).events
    follower.close()
    return found


async def begin(log: RunLog, after: int, id: str = "r") -> None:
    """Follow up to the first batch; of a run elsewhere only that can tell that it is not there."""
    follower = log.follow(id, after, idle_s=20)
    try:
        await anext(follower)
    finally:
        follower.close()


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


async def test_a_key_starts_one_run_per_caller(log: RunLog) -> None:
    """The same key gives the same run; another caller's key is another one."""
    assert "a" == await log.create(new("a", key="k", fingerprint="f"))
    assert "a" == await log.create(new("b", key="k", fingerprint="f"))
    assert "c" == await log.create(new("c", key="k", fingerprint="f", caller="ann"))
    assert "a" == await log.find("", "k", "f")
    assert await log.find("", "other", "f") is None
    assert await log.info("b") is None


async def test_a_key_with_another_request_is_a_conflict(log: RunLog) -> None:
    """One key is one request."""
    await log.create(new("a", key="k", fingerprint="f"))
    with pytest.raises(KeyConflict):
        await log.create(new("b", key="k", fingerprint="other"))
    with pytest.raises(KeyConflict):
        await log.find("", "k", "other")


async def test_a_key_is_forgotten_with_its_run(make_log: MakeLog) -> None:
    """After the replay time a key may be used again, for anything."""
    log = make_log(replay_s=0)
    await log.create(new("a", key="k", fingerprint="f"))
    await log.close("a")
    assert await log.find("", "k", "f") is None
    assert "b" == await log.create(new("b", key="k", fingerprint="other"))


async def test_the_oldest_ended_runs_make_room() -> None:
    """Beyond the limit of memory those that ended first are forgotten first, and only as many as needed."""
    log = MemoryLog(max_log_bytes=50_000)
    for name in "abcdef":
        await started(log, 100, name, ended=True)
    assert [True] * 4 == [await log.info(name) is not None for name in "cdef"]
    await log.create(new("g"))
    log.append("g", [Token("x" * 1000)] * 20)
    known = [await log.info(name) is not None for name in "abcdef"]
    assert sorted(known) == known
    assert [False, True] == [known[0], known[-1]]


async def test_a_run_that_goes_on_is_never_forgotten(make_log: MakeLog) -> None:
    """However large the logs are, what is being written can be read."""
    log = make_log(max_log_bytes=1_000, replay_s=0)
    await started(log, 500)
    await started(log, 500, "other", ended=True)
    assert await log.info("other") is None
    assert tokens(500) == await missed(log, 0, 500)


async def test_cancelling_tells_the_owner_once(log: RunLog) -> None:
    """The first reason counts; a run that has ended can't be cancelled."""
    reasons: asyncio.Queue[CancelledBy] = asyncio.Queue()
    await log.create(new(on_cancel=reasons.put_nowait))
    assert await log.cancel("r", "stop")
    assert not await log.cancel("r", "replaced")
    assert "stop" == await asyncio.wait_for(reasons.get(), 10)
    assert reasons.empty()
    await started(log, ended=True, id="ended")
    assert not await log.cancel("ended", "stop")


async def test_a_run_left_by_all_is_cancelled_after_its_grace(log: RunLog) -> None:
    """Only the last watcher's leaving counts, and one who looks without watching counts for nothing."""
    left = asyncio.Event()
    await log.create(new(grace_s=0.01, on_cancel=lambda by: left.set()))
    first, second = (log.follow("r", 0, idle_s=20) for _ in range(2))
    reader = log.follow("r", 0, idle_s=0.03, watching=False)
    first.close()
    assert [] == list((await anext(reader)).events)
    assert not left.is_set()
    second.close()
    await asyncio.wait_for(left.wait(), 10)
    reader.close()


async def test_who_comes_back_in_the_grace_keeps_the_run(log: RunLog) -> None:
    """Leaving and coming back before the grace is over cancels nothing."""
    left: list[CancelledBy] = []
    await log.create(new(grace_s=0.05, on_cancel=left.append))
    follower = log.follow("r", 0, idle_s=0.02)
    for _ in range(5):
        follower.close()
        follower = log.follow("r", 0, idle_s=0.02)
        await anext(follower)
    assert [] == left
    follower.close()


async def test_watchers_elsewhere_are_counted_too(log: RunLog) -> None:
    """A watcher in another thread's loop keeps a run, and its leaving ends it."""
    left = asyncio.Event()
    await log.create(new(grace_s=0.01, on_cancel=lambda by: left.set()))
    here = log.follow("r", 0, idle_s=0.05)
    there, leave = threading.Event(), threading.Event()

    async def watch() -> None:
        follower = log.follow("r", 0, idle_s=20)
        there.set()
        await asyncio.to_thread(leave.wait, 20)
        follower.close()

    thread = threading.Thread(target=lambda: asyncio.run(watch()))
    thread.start()
    await asyncio.to_thread(there.wait, 10)
    await anext(here)
    here.close()
    reader = log.follow("r", 0, idle_s=0.05, watching=False)
    await anext(reader)
    assert not left.is_set()
    leave.set()
    await asyncio.wait_for(left.wait(), 10)
    reader.close()
    await asyncio.to_thread(thread.join, 10)


async def test_ids_of_forgotten_runs_are_not_kept_for_ever() -> None:
    """Memory for what was forgotten is bounded."""
    log = MemoryLog(replay_s=0)
    for number in range(10_002):
        await started(log, ended=True, id=str(number))
    with pytest.raises(RunNotFound):
        log.follow("0", 1, idle_s=1)
    assert [] == await collect(log, after=1, id="10001")


async def test_runs_are_looked_for_in_any_thread(make_log: MakeLog) -> None:
    """Readers in other threads take nothing away from under the owner's feet."""
    log = make_log(replay_s=0)
    await log.create(new("first"))
    over = threading.Event()

    async def look() -> None:
        while not over.is_set():
            assert await log.info("nobody") is None
            with pytest.raises(RunNotFound):
                await begin(log, 0, "nobody")

    readers = [threading.Thread(target=lambda: asyncio.run(look())) for _ in range(4)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    for reader in readers:
        reader.start()
    try:
        for number in range(500 if isinstance(log, MemoryLog) else 50):
            await started(log, ended=True, id=str(number))
    finally:
        over.set()
        sys.setswitchinterval(before)
        for reader in readers:
            await asyncio.to_thread(reader.join)
