"""A store that forgets, fails for a moment, is full or holds garbage: nothing is lost or doubled, and all is told."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from llmstream.errors import (
    StoreFull,
    StoreUnavailable,
)
from llmstream.events import Failed
from tests.support.redis import RedisServer
from tests.support.redis_runs import END, KEYS, LEASE_S, MakeLog, collect, follow, is_whole, new, tokens, until


async def test_a_store_that_loses_everything_gets_it_again(server: RedisServer, process: MakeLog) -> None:
    """FLUSHALL in the middle: nobody notices, and the run can still be found by its key."""
    owner, other = process(), process()
    await owner.create(new(key="k", fingerprint="f"))
    owner.append("r", tokens(1, 100))
    following = await follow(other)
    server.client.flushall()
    owner.append("r", tokens(101, 200))
    await owner.stored()
    server.client.flushall()
    owner.append("r", [*tokens(201, 300), END])
    await owner.close("r")
    assert [*tokens(1, 300), END] == await asyncio.wait_for(following, 20)
    assert [*tokens(1, 300), END] == await collect(process())
    assert "r" == await other.find("", "k", "f")


async def test_chats_that_the_store_lost_have_their_last_runs_again(server: RedisServer, process: MakeLog) -> None:
    """FLUSHALL, after runs of two processes: each chat has its last one, whoever writes first, with its note."""
    first, second = process(), process()
    for log, run in ((first, "a"), (second, "b"), (first, "c")):
        await log.create(new(run))
        log.append(run, tokens(1, 3))
        await log.stored()
    await first.swap("ann", "one", "a", "old")
    assert "a" == await second.swap("ann", "one", "b", "new")
    await second.swap("ann", "two", "b", "asked")
    assert await first.succeed("ann", "two", "b", "c")
    for logs in ((first, second), (second, first)):
        server.client.flushall()
        for log in logs:
            log.writer.compare()
            await log.stored()
        for chat, last in (("one", ("b", "new")), ("two", ("c", "asked"))):
            assert [last] * 2 == [await log.named("ann", chat) for log in (first, second)]
    assert await first.named("ann", "three") is None


async def test_a_store_that_is_killed_and_empty_gets_it_again(server: RedisServer, process: MakeLog) -> None:
    """Redis without persistence dies and comes back: the local follower has no pause, the others miss nothing."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 100))
    here, there = await follow(owner), await follow(other)
    server.kill()
    owner.append("r", tokens(101, 200))
    behind = owner.follow("r", 100, idle_s=60)
    assert tokens(101, 200) == list((await anext(behind)).events)
    behind.close()
    server.start()
    await other.link.wait()
    for ask in (other.info, partial(other.cancel, by="stop"), partial(collect, other, 0)):
        with pytest.raises(StoreUnavailable):  # its owner may be about to write it again
            await ask("nobody")
    owner.append("r", [*tokens(201, 300), END])
    await owner.close("r")
    assert [*tokens(1, 300), END] == await asyncio.wait_for(here, 20)
    assert [*tokens(1, 300), END] == await asyncio.wait_for(there, 20)


async def test_an_ended_run_is_repaired(server: RedisServer, process: MakeLog) -> None:
    """What had ended a moment ago is written again too."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", [*tokens(1, 10), END])
    await owner.close("r")
    await owner.stored()
    server.client.flushall()

    async def is_there() -> bool:
        return await other.info("r") is not None

    await until(is_there)
    await owner.stored()
    assert [*tokens(1, 10), END] == await collect(other)


async def test_a_store_that_stays_away_ends_no_run(server: RedisServer, process: MakeLog) -> None:
    """Answers go on for those who are with their owner; others are told to come back; no new run begins, at once."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 10))
    elsewhere = await follow(other)
    server.kill()
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(owner.create(new("second")), 2)
    with pytest.raises(StoreUnavailable):
        await other.find("", "k", "f")
    with pytest.raises(StoreUnavailable):
        await other.info("r")
    owner.append("r", [*tokens(11, 20), END])
    await owner.close("r")
    assert [*tokens(1, 20), END] == await collect(owner)
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(elsewhere, 20 * LEASE_S)


async def test_a_lost_tail_is_written_again(server: RedisServer, process: MakeLog) -> None:
    """A failover forgets the last writes: who has them waits, who comes gets them, and nothing comes twice."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 10))
    await owner.stored()
    before = [server.client.dump(key) for key in KEYS]
    owner.append("r", tokens(11, 20))
    following = await follow(other)
    await owner.stored()
    for key, dump in zip(KEYS, before, strict=True):
        server.client.restore(key, 600_000, dump, replace=True)
    late = asyncio.create_task(collect(process(), 20))
    owner.append("r", [*tokens(21, 30), END])
    await owner.close("r")
    assert [*tokens(1, 30), END] == await asyncio.wait_for(following, 20)
    assert [*tokens(21, 30), END] == await asyncio.wait_for(late, 20)
    assert [*tokens(1, 30), END] == await collect(process())


@pytest.mark.parametrize(
    "faults",
    [
        ["CLIENT KILL TYPE pubsub"],
        ["CLIENT KILL TYPE normal SKIPME yes"],
        ["CLIENT PAUSE 600 ALL"],
        ["CLIENT PAUSE 1500 ALL"],
        ["DEBUG SLEEP 1.5"],
        ["REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"],
        ["SCRIPT FLUSH"],
    ],
    ids=", ".join,
)
async def test_small_faults_are_not_noticed(server: RedisServer, process: MakeLog, faults: list[str]) -> None:
    """Connections cut, silence, forgotten scripts, again and again: each event once, in order, in every process."""
    owner, others = process(), [process(), process()]
    await owner.create(new())
    owner.append("r", tokens(1, 100))
    following = [await follow(other) for other in others for _ in range(2)]
    number = 100
    for _ in range(3):
        for _ in range(20):
            owner.append("r", tokens(number + 1, number + 5))
            number += 5
            await asyncio.sleep(0.002)
        for fault in faults:
            await asyncio.to_thread(server.client.execute_command, *fault.split())
    owner.append("r", [END])
    await owner.close("r")
    found = await asyncio.wait_for(asyncio.gather(*following), 30)
    assert [[*tokens(1, number), END]] * 4 == found


async def test_a_store_that_is_full(server: RedisServer, process: MakeLog) -> None:
    """No new run begins, those that go on do; when there is room, all of it is stored."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 10))
    following = await follow(other)
    server.client.config_set("maxmemory", 1)
    owner.append("r", tokens(11, 20))
    with pytest.raises(StoreFull):
        await owner.create(new("second"))
    assert (await other.info("r")) is not None
    server.client.config_set("maxmemory", 0)
    owner.append("r", [END])
    await owner.close("r")
    assert [*tokens(1, 20), END] == await asyncio.wait_for(following, 20)
    await owner.create(new("third"))


async def test_a_creation_that_was_not_answered_is_taken_back(server: RedisServer, process: MakeLog) -> None:
    """The store did what it was asked, but too late: the key still starts a run."""
    owner = process()
    await owner.find("", "k", "f")
    server.client.execute_command("CLIENT", "PAUSE", "1800", "ALL")
    with pytest.raises(StoreUnavailable):
        await owner.create(new(key="k", fingerprint="f"))

    async def is_free() -> bool:
        try:
            return await owner.find("", "k", "f") is None
        except StoreUnavailable:
            return False

    await until(is_free)
    assert "again" == await owner.create(new("again", key="k", fingerprint="f"))


@pytest.mark.parametrize("followed", ["0", "1"])
async def test_an_old_copy_of_a_run_is_ended_by_its_owner(server: RedisServer, process: MakeLog, followed: str) -> None:
    """A run that its owner knows no more, because an old copy of the store came back, does not hang.

    followed: whether somebody elsewhere did so when the copy was made; then nobody tells the owner of the next ones.
    """
    owner, other = process(lease_s=0.3), process(lease_s=0.3)
    await owner.create(new())
    owner.append("r", tokens(1, 5))
    await owner.stored()
    for key in KEYS:
        server.client.restore(key.replace(":r:r", ":r:old"), 600_000, server.client.dump(key))
    server.client.hset("{llmstream}:1:r:old", "r", followed)
    assert 5 == is_whole(await asyncio.wait_for(collect(other, id="old"), 20 * LEASE_S))


@pytest.mark.parametrize(
    "entry", [b"\x80\x04.", b"[1]", b'["a","b"]', b'[{"type":"token"}]', b"x" * 10**6, b'[{"lc":1}]']
)
async def test_garbage_ends_its_followers_with_an_error(server: RedisServer, process: MakeLog, entry: bytes) -> None:
    """Bytes that are no batch of events are told as such, whether stored or sent; nothing else breaks."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 3))
    following = await follow(other)
    await owner.stored()
    server.client.xadd("{llmstream}:1:r:r:e", {"e": entry}, id="4-1")
    server.client.publish(f"{{llmstream}}:1:n:{other.node}", b"n\n{llmstream}:1:r:r 4-1 " + entry)
    for found in (await asyncio.wait_for(following, 20), await collect(process())):
        assert isinstance(found[-1], Failed)
        assert (tokens(1, 3), "store_corrupt") == (found[:-1], found[-1].code)
    await owner.create(new("other"))
    owner.append("other", [END])
    assert [END] == await collect(other, id="other")


# Of no run, of one that nobody follows, of one whose end was told, of an event that is there already.
NO_NEWS = (
    b"n\n",
    b"n\n\n\xff 1-1 [",
    b"n\n{llmstream}:1:r:no 1-1 []",
    b"n\n{llmstream}:1:r:r 2-0 ",
    b"n\n{llmstream}:1:r:r 3-1 [",
)


async def test_messages_that_are_none_change_nothing(server: RedisServer, process: MakeLog) -> None:
    """Whatever is sent to a process: it goes on."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 3))
    following = await follow(other)
    for message in (b"", b"x", b"x r", b"x r nobody", b"s " + b"\xff" * 300, b"l r", b"s other", b"p p p", *NO_NEWS):
        for log in (owner, other):
            server.client.publish(f"{{llmstream}}:1:n:{log.node}", message)
    owner.append("r", [END])
    assert [*tokens(1, 3), END] == await asyncio.wait_for(following, 20)
