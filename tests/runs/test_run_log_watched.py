"""A run log: keys, room, and who watches and cancels; in memory and in Redis."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from llmstream.errors import KeyConflict, RunNotFound
from llmstream.events import CancelledBy, Token
from llmstream.runs.log import RunLog
from llmstream.runs.memory import MemoryLog
from tests.support.run_logs import (
    MakeLog,
    begin,
    collect,
    missed,
    new,
    started,
    tokens,
)


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


async def test_a_chat_is_known_as_long_as_its_last_run() -> None:
    """However many chats there are; their notes count as the runs' own, and the oldest runs make room for them."""
    log = MemoryLog(max_log_bytes=10_000_000)
    await started(log, 1, "a", ended=True)
    await started(log, 1, "b", ended=True)
    await log.swap("ann", "chat", "a", "note")
    for number in range(20_000):
        await log.swap("bob", str(number), "b", "")
    assert ("a", "note") == await log.named("ann", "chat")
    await log.swap("bob", "large", "b", "x" * 5_000_000)
    assert [None, None] == [await log.info("a"), await log.named("ann", "chat")]


async def test_the_last_run_of_a_chat(log: RunLog) -> None:
    """Who comes after a run that was cut takes its place and its note, unless another one has it."""
    for name in ("cut", "next", "late", "his"):
        await started(log, 1, name)
    assert not await log.succeed("ann", "chat", "cut", "next")
    await log.swap("ann", "chat", "cut", "a note, of two lines\n")
    assert [True, True] == [await log.succeed("ann", "chat", "cut", "next") for _ in range(2)]
    assert not await log.succeed("ann", "chat", "cut", "late")
    assert not await log.succeed("bob", "chat", "next", "his")
    assert ("next", "a note, of two lines\n") == await log.named("ann", "chat")


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
