"""Several processes on a store, each behind a way of its own that can be harmed, and what is true at the end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Sequence
from typing import Any

from llmstream.errors import KeyConflict, OwnerLost, StoreUnavailable
from llmstream.events import Cancelled, CancelledBy, Event, failed
from llmstream.runs.log import NewRun, RunLog
from llmstream.runs.memory import MemoryLog
from llmstream.runs.redis.log import RedisLog
from llmstream.settings import Settings
from tests.support.fast_time import SPEED, FastLoop
from tests.support.redis import RedisServer
from tests.support.redis_way import Way
from tests.support.store_model import Process, Reader, Run, numbered

# How long everybody has to get what there is once nothing is in the way, in seconds of the clock.
PATIENCE_S = 30
_NEVER_S = 10**6
# All keys of one moment: a command that is under way comes before or after it.
_COPY = """
local copy = {}
for number, key in ipairs(redis.call('KEYS', '*')) do
  copy[number] = {key, redis.call('DUMP', key), redis.call('PTTL', key)}
end
return copy
"""


class World:
    """The processes, the runs they own and the readers they have; `memory` has the same runs without a store."""

    def __init__(self, server: RedisServer, processes: int) -> None:
        self.client = server.client
        self.runs: list[Run] = []
        self.readers: list[Reader] = []
        self.of_key: dict[str, set[str]] = {}
        self.forgot = False
        self.ways: list[Way] = []
        self.processes: list[Process] = []
        self._server = server
        self._loop = FastLoop()
        self._memory = MemoryLog()
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._copy: dict[bytes, tuple[bytes, int]] = {}
        self.do(self._begin(processes))

    def do(self, work: Coroutine[Any, Any, Any], limit_s: float = PATIENCE_S) -> Any:
        """Runs until this is done, everything else besides."""

        async def limited() -> Any:
            async with asyncio.timeout(limit_s * SPEED):
                return await work

        return self._loop.run_until_complete(limited())

    async def _begin(self, processes: int) -> None:
        for _ in range(processes):
            self.ways.append(await Way(self._server.port).__aenter__())
            self.processes.append(self._process(self.ways[-1]))

    def _process(self, way: Way) -> Process:
        return Process(RedisLog(Settings(redis_url=way.url)))

    def _behind(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- what owners do

    async def create(self, process: Process, key: str | None, fingerprint: str) -> None:
        """Creates a run, where the key has none and the store answers."""
        run = Run(f"r{next(self._numbers)}", process)
        new = NewRun(
            id=run.id,
            key=key,
            fingerprint=fingerprint,
            grace_s=_NEVER_S,
            on_cancel=lambda by: self._stopped(run, by),
            on_lost=lambda: self._lost(run),
        )
        others = self.of_key.setdefault(key or run.id, set())
        others.add(run.id)
        try:
            found = await process.log.create(new)
        except KeyConflict:
            assert others - {run.id}, "nobody had used the key"
            return
        except StoreUnavailable:
            return
        assert found in others
        if found == run.id:
            self.runs.append(run)
            await self._memory.create(NewRun(id=run.id, on_cancel=lambda by: None, grace_s=_NEVER_S))

    def _stopped(self, run: Run, by: CancelledBy) -> None:
        if not run.ended:
            self.append(run, [Cancelled(by)])
            self._behind(self.close(run))

    def _lost(self, run: Run) -> None:
        run.fenced = True
        if not run.ended:
            run.owner.log.append(run.id, [failed(OwnerLost())])
            self._behind(run.owner.log.close(run.id))

    def append(self, run: Run, events: Sequence[Event]) -> None:
        run.events += events
        for log in (run.owner.log, self._memory):
            log.append(run.id, events)

    async def close(self, run: Run) -> None:
        run.closed = True
        await run.owner.log.close(run.id)
        await self._memory.close(run.id)

    # --- what everybody does

    def follow(self, reader: Reader) -> None:
        reader.task = self._loop.create_task(reader.read())
        self.readers.append(reader)

    async def leave(self, reader: Reader) -> None:
        self.readers.remove(reader)
        assert reader.task is not None
        reader.task.cancel()
        await asyncio.gather(reader.task, return_exceptions=True)

    # --- what happens to them

    async def kill(self, slot: int) -> None:
        """Takes a process away without a word, and begins another one."""
        process = self.processes[slot]
        for reader in [each for each in self.readers if each.process is process]:
            await self.leave(reader)
        if process.began:
            await process.log.link.aclose()
        self.lapse(process)
        process.dead = True
        self.processes[slot] = self._process(self.ways[slot])

    def lapse(self, process: Process) -> None:
        """The lease of a process runs out; where it can, it takes another one."""
        process.was_away = True
        self.client.delete(f"{{llmstream}}:1:n:{process.log.node}")

    def remember(self) -> None:
        """A copy of everything in the store, as a replica may have it."""
        self._copy = {key: (dump, ttl) for key, dump, ttl in self.client.eval(_COPY, 0)}

    def roll_back(self) -> None:
        """The store has what it had then, as after a failover."""
        with self.client.pipeline() as together:
            together.flushall()
            for key, (dump, ttl) in self._copy.items():
                together.restore(key, max(ttl, 1), dump)
            together.execute()
        self.forget(*self.runs)

    def forget(self, *runs: Run) -> None:
        """Notes that the store lost something, perhaps the wish to stop a run."""
        self.forgot = True
        for run in runs:
            run.forgotten, run.asked = True, False

    # --- what is true at the end

    def end(self) -> None:
        """Lifts all faults, waits until everybody has everything, and looks whether anything is left behind."""
        try:
            self.do(self._rest(), 3 * PATIENCE_S)
            self.do(self._compare())
            assert [] == [key for key in self.client.scan_iter() if self.client.pttl(key) == -1]
            if not self.forgot:
                owned = [run.id for run in self.runs]
                assert all(len(ids & set(owned)) <= 1 for ids in self.of_key.values()), "one key started two runs"
        finally:
            try:
                self.do(self._close_all())
            finally:
                self._loop.run_until_complete(self._loop.shutdown_default_executor())
                self._loop.close()
                self.client.flushall()
        assert [] == self.client.pubsub_channels()

    async def _rest(self) -> None:
        for way in self.ways:
            way.mend()
        try:
            async with asyncio.timeout(PATIENCE_S * SPEED):
                for process in self.processes:
                    await process.log.stored()
                while self._restless():  # noqa: ASYNC110 - a read or a stop in another process tells nobody here
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"never told: {self._restless()}") from None
        for reader in self.readers:
            assert not (fault := reader.fault()), (fault, reader)

    def _restless(self) -> list[Reader | Run]:
        readers, runs = (
            (reader for reader in self.readers if not reader.rests),
            (run for run in self.runs if not run.rests),
        )
        return [*readers, *runs]

    async def _compare(self) -> None:
        """Who follows a run in its own process gets what a log without a store tells."""
        for run in self.runs:
            before, one, other = -1, None, None
            while before != len(run.events):  # it may have been stopped meanwhile
                before = len(run.events)
                one, other = [await _all_of(log, run.id) for log in (self._memory, run.owner.log)]
            assert run.may_be_lost or one == other

    async def _close_all(self) -> None:
        for reader in list(self.readers):
            await self.leave(reader)
        for process in self.processes:
            await process.log.aclose()
        for way in self.ways:
            await way.__aexit__()
        await asyncio.gather(*self._tasks)
        while self._server.clients():  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.1)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left


async def _all_of(log: RunLog, run_id: str) -> tuple[Any, ...]:
    """All events of a run with their numbers, whether they end, and the facts of the run."""
    follower, batches = log.follow(run_id, 0, idle_s=0.01, watching=False), []
    while (batch := await anext(follower, None)) is not None and batch.events:
        batches.append(batch)
    follower.close()
    info = await log.info(run_id)
    assert info is not None
    return numbered(batches), batch is None, info.first, info.last, info.ended
