"""Run logs, in memory and in a Redis, and what is written to them and read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from llmstream.events import CancelledBy, Event, Finished, Timings, Token, Usage
from llmstream.runs.log import Follower, NewRun, RunInfo, RunLog
from llmstream.runs.redis.log import RedisLog

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

    They may be one. What was appended is stored before it is asked for, and so is the end of a run. `home` is the loop
    in which the second one lives, if not this one.
    """

    def __init__(self, owner: RedisLog, other: RedisLog, home: asyncio.AbstractEventLoop | None = None) -> None:
        self.owner = owner
        self._other = other
        self._home = home

    async def _at_home(self, work: Coroutine[Any, Any, None]) -> None:
        if self._home is None:
            await work
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._home))

    async def create(self, run: NewRun) -> str:
        await self._at_home(self._other.start())  # in a loop that outlives those of the threads
        return await self.owner.create(run)

    def append(self, run_id: str, events: Sequence[Event]) -> None:
        self.owner.append(run_id, events)

    async def close(self, run_id: str) -> None:
        await self.owner.close(run_id)
        await self.owner.stored()

    async def find(self, caller: str, key: str, fingerprint: str) -> str | None:
        return await self._other.find(caller, key, fingerprint)

    async def info(self, run_id: str, *, allow_stale: bool = False) -> RunInfo | None:
        await self.owner.stored()
        return await self._other.info(run_id, allow_stale=allow_stale)

    def follow(self, run_id: str, after: int, **options: Any) -> Follower:
        return self._other.follow(run_id, after, **options)

    async def cancel(self, run_id: str, by: CancelledBy) -> bool:
        await self.owner.stored()
        return await self._other.cancel(run_id, by)

    async def swap(self, caller: str, chat: str, run_id: str, note: str) -> str | None:
        return await self.owner.swap(caller, chat, run_id, note)

    async def succeed(self, caller: str, chat: str, cut: str, run_id: str) -> bool:
        return await self._other.succeed(caller, chat, cut, run_id)

    async def named(self, caller: str, chat: str) -> tuple[str, str] | None:
        return await self._other.named(caller, chat)

    async def aclose(self) -> None:
        await self._at_home(self._other.aclose())
        await self.owner.aclose()


LOGS = ("memory", "redis here", "redis elsewhere", "redis in another loop")


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
