"""Sentinels that make another server the master, under runs that go on: nothing is lost, doubled or told."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from llmstream.errors import StoreUnavailable
from llmstream.events import Event
from llmstream.runs.redis.log import RedisLog
from llmstream.runs.redis.store.address import connections_to
from tests.support.redis import RedisServer
from tests.support.redis_runs import END, MakeLog, collect, follow, new, tokens, until
from tests.support.redis_sentinels import Watched, watched

RUNS = 20
# A failover takes two seconds and more; who is missing that long must not be dead for anybody.
LEASE_S = 1.0


class Runs:
    """Runs of two processes, half of them each; a token each is added to them again and again."""

    def __init__(self, owners: list[RedisLog]) -> None:
        self.owners = {f"r{number}": owners[number % 2] for number in range(RUNS)}
        self.count = 0
        self.lost: list[str] = []

    async def begin(self) -> None:
        """Begin all of them, each with a request key."""
        for run_id, owner in self.owners.items():
            on_lost = partial(self.lost.append, run_id)
            assert run_id == await owner.create(new(run_id, key=run_id, fingerprint="f", on_lost=on_lost))
        self.say()

    def say(self) -> None:
        """Add a token to each."""
        self.count += 1
        for run_id, owner in self.owners.items():
            owner.append(run_id, tokens(self.count, self.count))

    async def talk(self) -> None:
        """Add tokens for ever."""
        while True:
            await asyncio.sleep(0.01)
            self.say()

    async def end(self) -> None:
        """End all of them."""
        for run_id, owner in self.owners.items():
            owner.append(run_id, [END])
            await owner.close(run_id)


def fails_over(store: Watched) -> Callable[[], object]:
    """The Sentinels are told to; the old master knows nothing of it for seconds, and takes what it is sent."""
    store.fail_over()
    return lambda: None


def is_killed(store: Watched) -> Callable[[], object]:
    """The master is gone from one moment to the next, with what it has not passed on, and comes back empty."""
    old = store.master
    old.kill()
    return old.start


def is_silent(store: Watched) -> Callable[[], object]:
    """The master does not answer, until another one is the master; then it goes on as if nothing had been.

    It does what it was sent meanwhile, and whoever sent that stays with it until the Sentinels name the other one.
    """
    old = store.master
    old.signal(signal.SIGSTOP)
    return lambda: old.signal(signal.SIGCONT)


async def comes(log: RedisLog, run_id: str) -> asyncio.Task[list[Event]]:
    """Follow a run, and come again as long as one should."""
    while True:
        try:
            return await follow(log, id=run_id)
        except StoreUnavailable:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(("fault", "timeout_s"), [(fails_over, 1), (is_killed, 1), (is_silent, 5)])
async def test_another_server_becomes_the_master(
    tmp_path: Path, process: MakeLog, fault: Callable[[Watched], Callable[[], object]], timeout_s: float
) -> None:
    """Who follows 20 runs elsewhere gets all of each, once and in order, and the end that its owner wrote.

    That goes for who was there before, for who comes while there are two masters, and for who comes afterwards. What
    only the old master had is written again; no process is taken for dead.
    """
    with watched(tmp_path) as store:
        settings = {"redis_url": store.url, "lease_s": LEASE_S, "store_timeout_s": timeout_s}
        logs = [process(**settings) for _ in range(3)]
        runs = Runs(logs[:2])
        await runs.begin()
        talking = asyncio.create_task(runs.talk())
        following = [
            await follow(log, id=run) for run, owner in runs.owners.items() for log in logs if log is not owner
        ]
        old = store.master
        mend = await asyncio.to_thread(fault, store)
        await until(lambda: asyncio.to_thread(is_master, store.other(old)))
        await asyncio.to_thread(mend)
        await until(lambda: asyncio.to_thread(lambda: store.master is not old))
        at = runs.count
        logs.append(late := process(**settings))
        following += [await comes(late, run_id) for run_id in runs.owners]
        await until(lambda: asyncio.to_thread(has_all, store.master, at))
        await asyncio.to_thread(store.wait_until_whole)  # and so the old one is a replica
        talking.cancel()
        await runs.end()
        whole = [*tokens(1, runs.count), END]
        found = await asyncio.wait_for(asyncio.gather(*following, return_exceptions=True), 20)
        assert [whole] * len(following) == found
        for log in logs:
            await log.stored()
        fresh = process(redis_url=store.url)
        for run_id in runs.owners:
            assert whole == await collect(fresh, id=run_id)
            assert run_id == await fresh.find("", run_id, "f")
        assert [] == runs.lost
        figures = [log.figures() for log in logs]
        assert 0 == sum(each["runs_lost_total"] for each in figures)
        assert 1 >= max(each["store_probe_failures_total"] for each in figures)
        assert (sum(each["store_repairs_total"] for each in figures) > 0) or fault is is_killed
        for log in (*logs, fresh):
            await log.aclose()


def is_master(server: RedisServer) -> bool:
    """True if a server takes itself for the master; nobody else may know of it yet."""
    return bool(server.client.info("replication")["role"] == "master")


def has_all(server: RedisServer, number: int) -> bool:
    """True if it has more than so many events of every run."""
    found = [server.client.xrevrange(f"{{llmstream}}:1:r:r{each}:e", count=1) for each in range(RUNS)]
    return all(entry and int(entry[0][0].split(b"-")[0]) > number for entry in found)


async def test_a_look_for_the_master_can_be_cancelled_at_any_moment(tmp_path: Path) -> None:
    """One that went on all the same would keep a process from its end."""
    with watched(tmp_path) as store:
        connections = connections_to(store.url, key="", name="", timeout_s=5)
        try:
            for turns in count():
                looking = asyncio.create_task(connections.get_master_address())
                for _ in range(turns):
                    await asyncio.sleep(0)
                if not looking.cancel():
                    break  # it was done before
                with pytest.raises(asyncio.CancelledError):
                    await looking
        finally:
            await connections.aclose()
