"""Runs in a store, as several processes see them."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import Awaitable, Callable
from typing import Any

from llmstream.errors import StoreUnavailable
from llmstream.events import Event, Failed, Finished, Timings, Token, Usage
from llmstream.runs.log import END_OF_LOST, NewRun
from llmstream.runs.redis.log import RedisLog
from tests.support.forked import Forked
from tests.support.redis import RedisServer

END = Finished("stop", Usage(), Timings())
LEASE_S = 0.9
# What there is of the run "r".
KEYS = ("{llmstream}:1:r:r", "{llmstream}:1:r:r:e")
MakeLog = Callable[..., RedisLog]


def new(id: str = "r", **fields: Any) -> NewRun:
    """A run nobody asks to end."""
    return NewRun(id=id, **{"on_cancel": lambda by: None, "grace_s": 600, **fields})


def tokens(first: int, last: int) -> list[Event]:
    """Tokens that say their numbers."""
    return [Token(str(number)) for number in range(first, last + 1)]


async def collect(log: RedisLog, after: int = 0, id: str = "r") -> list[Event]:
    """All events after a number, to the end; each must have the next number, but for the end of a lost run."""
    found: list[Event] = []
    follower = log.follow(id, after, idle_s=60)
    try:
        async for batch in follower:
            assert batch.first in (after + len(found) + 1, END_OF_LOST)
            found += batch.events
    finally:
        follower.close()
    return found


async def follow(log: RedisLog, after: int = 0, id: str = "r") -> asyncio.Task[list[Event]]:
    """Collect behind; returns when the first of the events is there."""
    first = log.follow(id, after, idle_s=60)
    try:
        await asyncio.wait_for(anext(first), 20)
    except BaseException:
        first.close()
        raise

    async def collecting() -> list[Event]:
        try:
            return await collect(log, after, id)
        finally:
            first.close()

    task = asyncio.create_task(collecting())
    await asyncio.sleep(0)  # until it has begun
    return task


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again, for at most 20 s."""
    async with asyncio.timeout(20):
        while not await is_so():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.05)


def child(server: RedisServer, count: int = 10**6, run: str = "r", url: str = "") -> Forked:
    """A process of `redis_owner`."""
    return Forked("tests.support.redis_owner", url or server.url, "llmstream", str(LEASE_S), str(count), run)


async def has(log: RedisLog, last: int) -> bool:
    """True if so many events of the run are stored, as a process that does not own it sees it."""
    info = await log.info("r")
    return info is not None and info.last >= last


async def says(process: Forked | subprocess.Popen[str], word: str) -> None:
    """Wait until the process writes this."""
    assert process.stdout is not None
    while (line := await asyncio.to_thread(process.stdout.readline)) != f"{word}\n":
        assert line, "it ended"


def is_whole(events: list[Event]) -> int:
    """How many tokens there are in front of `owner_lost`, the only end; each once and in order."""
    *before, end = events
    assert isinstance(end, Failed)
    assert ("owner_lost", True) == (end.code, end.retryable)
    assert tokens(1, len(before)) == before
    return len(before)


async def goes_on(owner: RedisLog, number: int) -> None:
    """Whoever is with the owner gets what it adds, at once."""
    behind = owner.follow("r", number, idle_s=60)
    owner.append("r", tokens(number + 1, number + 10))
    batch = await asyncio.wait_for(anext(behind), 1)
    assert tokens(number + 1, number + 10) == list(batch.events)
    behind.close()


async def begins(log: RedisLog) -> bool:
    """True if a new run begins, which ends at once; False where the store is away."""
    run_id = secrets.token_hex(4)
    try:
        await log.create(new(run_id))
    except StoreUnavailable:
        return False
    log.append(run_id, [END])
    await log.close(run_id)
    return True


async def is_refused(log: RedisLog) -> None:
    """Wait until new runs are refused."""

    async def refused() -> bool:
        return not await begins(log)

    await until(refused)
