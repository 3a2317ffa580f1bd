"""The link to a store, cut at the worst moments: what is in doubt is settled, and what is closed ends."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading

import pytest

from llmstream.errors import RunNotFound, StoreUnavailable
from llmstream.runs.redis.log import RedisLog
from llmstream.runs.redis.store.connection import Link
from tests.support.fast_time import FastLoop
from tests.support.redis import RedisServer
from tests.support.redis_runs import END, KEYS, MakeLog, collect, new, tokens, until
from tests.support.redis_way import Way


async def test_a_link_is_closed_at_any_moment(server: RedisServer) -> None:
    """Whatever its tasks are doing, they end: a cancellation may be swallowed where it meets an answer."""

    async def busy(link: Link) -> None:
        while True:
            try:
                await link.command("PING")
            except StoreUnavailable:
                await asyncio.sleep(0)

    for steps in range(60):
        link = Link(server.url, key="", name="busy", timeout_s=2)
        task = link.spawn(busy(link))
        for _ in range(steps):
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await link.aclose()
        assert task.done()


def test_a_part_that_fails_begins_anew(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """An error of ours is logged, and does not leave a process without a store for ever."""

    async def main() -> None:
        link = Link(server.url, key="", name="failing", timeout_s=2)
        again = asyncio.Event()
        times = iter(range(2))

        async def part() -> None:
            if next(times) == 0:
                raise RuntimeError("an error of ours")
            again.set()
            await asyncio.Event().wait()

        link.live(part)
        await asyncio.wait_for(again.wait(), 100)
        assert await link.command("PING")
        await link.aclose()

    with asyncio.Runner(loop_factory=FastLoop) as runner:
        runner.run(main())
    assert "an error of ours" in caplog.text


async def test_a_key_whose_creation_is_in_doubt_starts_a_run(server: RedisServer, process: MakeLog) -> None:
    """Who comes again gets a run of its own, and not the one that nobody has; nor does who only looks."""
    async with Way(server.port) as way:
        owner = process(redis_url=way.url, lease_s=60)
        await owner.start()
        for key in ("k", "l"):
            way.cut("after", "after", "after", "after")  # a creation is tried twice, and a heartbeat may come between
            with pytest.raises(StoreUnavailable):
                await owner.create(new(key, key=key, fingerprint="f"))
            await owner.link.wait()
            if key == "l":
                assert await owner.find("", key, "f") is None
            assert f"{key}2" == await owner.create(new(f"{key}2", key=key, fingerprint="f"))
            assert f"{key}2" == await process().find("", key, "f")
        await owner.aclose()


async def test_who_follows_a_run_in_doubt_is_told_to_ask_again(server: RedisServer, process: MakeLog) -> None:
    """Nothing of it was lost, for it never began: its key is free again, for whoever asks for it next."""
    other = process()
    async with Way(server.port) as way:
        owner = process(redis_url=way.url, lease_s=60)
        await owner.start()
        way.cut("after", "after")
        for _ in range(100):
            way.cut("before")
        with pytest.raises(StoreUnavailable):
            await owner.create(new("k", key="k", fingerprint="f"))
        assert "k" == await other.create(new("k2", key="k", fingerprint="f"))
        way.mend()
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(collect(other, id="k"), 20)
        assert "k3" == await other.create(new("k3", key="k", fingerprint="f"))
        await owner.aclose()


async def test_an_ended_run_is_repaired_after_a_short_cut(server: RedisServer, process: MakeLog) -> None:
    """Connections that are cut may lead to a store that lacks something, also where it answers at once."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 10))
    await owner.stored()
    before = [server.client.dump(key) for key in KEYS]
    owner.append("r", [*tokens(11, 20), END])
    await owner.close("r")
    await owner.stored()
    for key, dump in zip(KEYS, before, strict=True):
        server.client.restore(key, 600_000, dump, replace=True)
    server.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    async def has_ended() -> bool:
        info = await other.info("r")
        return info is not None and info.ended

    await until(has_ended)
    assert [*tokens(1, 20), END] == await collect(other)


async def test_runs_are_followed_in_threads_while_a_process_looks_around(
    process: MakeLog, caplog: pytest.LogCaptureFixture
) -> None:
    """Who comes and goes in other threads takes nothing away from under its feet."""
    log = process(lease_s=0.03)
    await log.start()

    def follow_many(thread: int) -> None:
        asyncio.run(_follow_many(log, thread))

    threads = [threading.Thread(target=follow_many, args=[number]) for number in range(4)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
    finally:
        sys.setswitchinterval(before)
    assert [] == [record for record in caplog.records if record.levelno >= logging.ERROR]


async def _follow_many(log: RedisLog, thread: int) -> None:
    for number in range(300):
        follower = log.follow(f"nobody{thread}x{number}", 0, idle_s=20)
        with pytest.raises(RunNotFound):
            await anext(follower)
        follower.close()
