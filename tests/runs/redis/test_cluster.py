"""A Redis Cluster: a master that changes, dies or gives its slot away is a short outage, and nobody loses anything."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from llmstream.runs.redis.log import RedisLog
from llmstream.runs.redis.store.status_line import store_report
from llmstream.settings import Settings
from tests.support.ports import free_port
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_runs import END, LEASE_S, MakeLog, begins, collect, follow, is_refused, new, tokens, until

RUNS = [f"r{number}" for number in range(20)]


@pytest.fixture
def prefix() -> str:
    """A prefix of the test's own, and so a slot."""
    return secrets.token_hex(4)


@pytest.fixture
def key(prefix: str) -> str:
    """A name in the slot of the test."""
    return f"{{{prefix}}}"


@pytest.fixture
async def process(redis_cluster: RedisCluster, prefix: str) -> AsyncGenerator[MakeLog]:
    """Makes the log of one more process in the cluster; takes settings."""
    logs: list[RedisLog] = []

    def make(**changes: Any) -> RedisLog:
        settings = {"redis_url": redis_cluster.url, "redis_prefix": prefix, "lease_s": LEASE_S, "store_timeout_s": 1}
        logs.append(RedisLog(Settings(**{**settings, **changes})))
        return logs[-1]

    yield make
    for log in logs:
        await log.aclose()
    await asyncio.to_thread(redis_cluster.mend)


@asynccontextmanager
async def under_way(process: MakeLog) -> AsyncGenerator[RedisLog]:
    """Twenty runs of two processes, followed elsewhere, that go on meanwhile: each is whole, for everybody, once.

    Nobody is taken for dead. Gives one of the owners.
    """
    owners, other = (process(), process()), process()
    appended, goes_on = dict.fromkeys(RUNS, 0), True

    async def write() -> None:
        while goes_on:
            for number, run in enumerate(RUNS):
                appended[run] += 1
                owners[number % 2].append(run, tokens(appended[run], appended[run]))
            await asyncio.sleep(0.005)

    for number, run in enumerate(RUNS):
        assert run == await owners[number % 2].create(new(run, key=run, fingerprint="f"))
    writing = asyncio.create_task(write())
    try:
        elsewhere = [await follow(other, id=run) for run in RUNS]
        yield owners[0]
    finally:
        goes_on = False
        await writing
    for number, run in enumerate(RUNS):
        owners[number % 2].append(run, [END])
        await owners[number % 2].close(run)
    whole = [[*tokens(1, appended[run]), END] for run in RUNS]
    assert whole == await asyncio.wait_for(asyncio.gather(*elsewhere), 20)
    late = process()
    assert whole == await asyncio.gather(*(collect(late, 0, run) for run in RUNS))
    assert RUNS == [await late.find("", run, "f") for run in RUNS]
    assert [0] * 4 == [log.figures()["runs_lost_total"] for log in (*owners, other, late)]


async def test_a_run_of_several_processes(redis_cluster: RedisCluster, process: MakeLog, prefix: str) -> None:
    """Begun in one, followed in another, stopped from a third; a key begins it once, a chat leads to it.

    Whoever asks for a report is told of all three.
    """
    owner, other, third = process(), process(), process()
    asked_by = asyncio.Queue[str]()
    run = new(caller="ann", key="k", fingerprint="f", on_cancel=asked_by.put_nowait)
    assert "r" == await owner.create(run)
    assert "r" == await third.create(new("again", caller="ann", key="k", fingerprint="f"))
    assert await owner.swap("ann", "chat", "r", "note") is None
    owner.append("r", tokens(1, 3))
    elsewhere = await follow(other)
    assert ("r", "note") == await third.named("ann", "chat")
    assert await third.cancel("r", "stop")
    assert "stop" == await asyncio.wait_for(asked_by.get(), 20)
    owner.append("r", [END])
    await owner.close("r")
    assert [*tokens(1, 3), END] == await asyncio.wait_for(elsewhere, 20)

    async def are_listed() -> bool:
        settings = Settings(redis_url=redis_cluster.url, redis_prefix=prefix)
        return "shared by 3 processes" in await store_report(settings)

    await until(are_listed)


async def test_a_master_that_hands_over(redis_cluster: RedisCluster, process: MakeLog, key: str) -> None:
    """It becomes a replica, and its replica the master: everybody goes there, also those who listen."""
    before, after = await asyncio.to_thread(redis_cluster.of, key)
    async with under_way(process) as owner:

        async def listens_there() -> bool:
            found = [each.client.pubsub_numsub(f"{key}:1:n:{owner.node}")[0][1] for each in (before, after)]
            return [0, 1] == found

        assert not await listens_there()
        after.client.execute_command("CLUSTER", "FAILOVER")
        await until(listens_there)
        await asyncio.to_thread(redis_cluster.wait_until_whole)
        assert (after, before) == redis_cluster.of(key)
        figures = owner.figures
    assert 0 == figures()["store_probe_failures_total"]


async def test_a_master_that_is_killed(redis_cluster: RedisCluster, process: MakeLog, key: str) -> None:
    """Its replica takes over when the others have noticed; new runs are refused until then."""
    before, after = await asyncio.to_thread(redis_cluster.of, key)
    async with under_way(process) as owner:
        before.kill()
        await is_refused(owner)
        await until(partial(begins, owner))
        assert after.client.info("replication")["role"] == "master"


async def test_a_slot_that_moves(redis_cluster: RedisCluster, process: MakeLog, key: str) -> None:
    """While some of its names are here and some there, for longer than any lease, the store is as away."""
    async with under_way(process) as owner:
        moving = redis_cluster.move(key)
        await asyncio.to_thread(next, moving)
        await is_refused(owner)
        until_s = asyncio.get_running_loop().time() + 2 * LEASE_S
        while asyncio.get_running_loop().time() < until_s:
            assert not await begins(owner)
            await asyncio.sleep(0.1)
        await asyncio.to_thread(list, moving)
        await until(partial(begins, owner))


async def test_nodes_that_are_gone(redis_cluster: RedisCluster, process: MakeLog, key: str) -> None:
    """One node that answers is enough to find the others, and those are remembered when it falls silent."""
    master, seed = await asyncio.to_thread(redis_cluster.of, key)
    log = process(redis_url=f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{seed.port}/0")
    await log.start()
    assert await begins(log)
    seed.signal(signal.SIGSTOP)
    try:
        master.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert await begins(log)
    finally:
        seed.signal(signal.SIGCONT)
