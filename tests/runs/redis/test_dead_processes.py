"""Processes that die, sleep or are cut off: what is told of their runs, and to whom."""

from __future__ import annotations

import asyncio
import signal

import pytest

from llmstream.errors import RunNotFound
from llmstream.events import CancelledBy, Failed
from llmstream.runs.log import END_OF_LOST, PositionLost
from tests.support.redis import RedisServer
from tests.support.redis_runs import (
    KEYS,
    LEASE_S,
    MakeLog,
    child,
    collect,
    follow,
    has,
    is_whole,
    new,
    says,
    tokens,
    until,
)


async def test_an_owner_that_is_killed_is_told_to_all(server: RedisServer, process: MakeLog) -> None:
    """Everybody gets what was stored and one end, also who comes later or had more than was stored; nobody hangs."""
    first, second = process(), process()
    with child(server) as owner:
        await says(owner, "50")
        followers = [await follow(log) for log in (first, first, second)]
        await until(lambda: has(second, 50))
        owner.kill()
        found = await asyncio.wait_for(asyncio.gather(*followers), 3 * LEASE_S + 5)
    stored = is_whole(found[0])
    assert stored >= 50
    assert [found[0]] * 2 == found[1:]
    assert found[0] == await collect(process())
    (end,) = await collect(second, stored + 7)
    assert isinstance(end, Failed)
    assert [] == await collect(second, END_OF_LOST)
    info = await second.info("r")
    assert info is not None
    assert (END_OF_LOST, True) == (info.last, info.ended)


async def test_who_was_ahead_of_the_store_gets_the_end(server: RedisServer, process: MakeLog) -> None:
    """A client that holds more than the dead owner stored waits for the end, and is not sent back."""
    log = process()
    with child(server, 10) as owner:
        await says(owner, "10")
        ahead = log.follow("r", 17, idle_s=60)
        owner.kill()
        batch = await asyncio.wait_for(anext(ahead), 20)
        assert END_OF_LOST == batch.first
        with pytest.raises(StopAsyncIteration):
            await anext(ahead)
        ahead.close()


async def test_an_owner_that_slept_is_fenced(server: RedisServer, process: MakeLog) -> None:
    """A process that is stopped for long is dead to the others; when it wakes, it ends its run and adds nothing."""
    log = process()
    with child(server) as owner:
        await says(owner, "20")
        following = await follow(log)
        owner.send_signal(signal.SIGSTOP)
        found = await asyncio.wait_for(following, 20)
        is_whole(found)
        owner.send_signal(signal.SIGCONT)
        await asyncio.wait_for(says(owner, "lost"), 20)
    assert found == await collect(log)


async def test_an_owner_that_is_cut_off_is_fenced(server: RedisServer, process: MakeLog) -> None:
    """An owner that alone can't reach the store is dead to the others, and ends its run once it can again."""
    server.client.execute_command("ACL", "SETUSER", "owner", "on", ">secret", "~*", "&*", "+@all")
    log = process()
    with child(server, url=f"redis://owner:secret@127.0.0.1:{server.port}") as owner:
        await says(owner, "20")
        following = await follow(log)
        server.client.execute_command("ACL", "SETUSER", "owner", "off")
        server.client.execute_command("CLIENT", "KILL", "USER", "owner")
        is_whole(await asyncio.wait_for(following, 20))
        server.client.execute_command("ACL", "SETUSER", "owner", "on")
        await asyncio.wait_for(says(owner, "lost"), 20)


async def test_a_run_of_a_dead_owner_ends_when_it_is_asked_for(server: RedisServer, process: MakeLog) -> None:
    """Who only looks a run up now and then learns of its end too."""
    log = process()
    with child(server, 5) as owner:
        await says(owner, "5")
        info = await log.info("r")
        assert info is not None
        assert not info.ended
        owner.kill()

    async def has_ended() -> bool:
        info = await log.info("r")
        return info is not None and info.ended

    await until(has_ended)


async def test_who_waits_for_the_end_of_a_dead_owner_has_it(server: RedisServer, process: MakeLog) -> None:
    """Who wants to go on with its answer waits until it is over; of an owner that lives nobody waits for anything."""
    log = process()
    await log.create(new("here"))
    with child(server, 5) as owner:
        await says(owner, "5")
        for run_id in ("r", "here", "nobody", "no name"):
            await asyncio.wait_for(log.settle(run_id), LEASE_S)
        owner.kill()
        owner.wait()
        await asyncio.wait_for(log.settle("r"), 3 * LEASE_S + 5)
    info = await log.info("r")
    assert info is not None
    assert info.ended


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=lambda fault: fault.name)
async def test_a_watcher_that_is_gone_watches_no_more(
    server: RedisServer, process: MakeLog, fault: signal.Signals
) -> None:
    """A run watched by a process alone ends with that process, or when it sleeps; as long as it lives, it does not."""
    left: asyncio.Queue[CancelledBy] = asyncio.Queue()
    log = process()
    await log.create(new(grace_s=0.1, on_cancel=left.put_nowait))
    here = log.follow("r", 0, idle_s=60)
    log.append("r", tokens(1, 1))
    with child(server, 0) as watcher:
        await says(watcher, "watching")
        here.close()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(left.get(), 2 * LEASE_S)
        watcher.send_signal(fault)
        assert "left" == await asyncio.wait_for(left.get(), 20)


def deafen(server: RedisServer) -> None:
    """Cut all subscriptions; the user "owner" gets none any more."""
    server.client.execute_command("ACL", "SETUSER", "owner", "-subscribe")
    server.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")


def hears(server: RedisServer) -> bool:
    """True if the owner of the run would get a message."""
    node = server.client.hget(KEYS[0], "o").decode()
    ((_, count),) = server.client.pubsub_numsub(f"{{llmstream}}:1:n:{node}")
    return bool(count)


async def test_an_owner_that_hears_nothing_is_stopped(server: RedisServer, process: MakeLog) -> None:
    """A stop is in the store: an owner whose subscription is cut, and stays so, finds it when it looks around.

    One that says something finds it at once, in the answer to that.
    """
    url = f"redis://owner:secret@127.0.0.1:{server.port}"
    server.client.execute_command("ACL", "SETUSER", "owner", "on", ">secret", "~*", "&*", "+@all")
    other = process()
    with child(server, 5, url=url) as owner:
        await says(owner, "5")
        await until(lambda: has(other, 5))
        assert hears(server)
        deafen(server)
        assert await other.cancel("r", "stop")
        await asyncio.wait_for(says(owner, "stop"), LEASE_S + 5)
        assert not hears(server)

    stopped: asyncio.Queue[CancelledBy] = asyncio.Queue()
    log = process(redis_url=url, lease_s=600)  # it looks around every 200 s
    server.client.flushall()
    server.client.execute_command("ACL", "SETUSER", "owner", "+subscribe")
    await log.create(new(on_cancel=stopped.put_nowait))
    log.append("r", tokens(1, 1))
    await log.stored()
    deafen(server)
    assert await other.cancel("r", "stop")
    assert stopped.empty()
    log.append("r", tokens(2, 2))
    assert "stop" == await asyncio.wait_for(stopped.get(), 5)
    assert not hears(server)


async def test_a_run_that_store_and_owner_have_lost(server: RedisServer, process: MakeLog) -> None:
    """It is told to who follows it, and not found by who comes."""
    other = process()
    with child(server, 5) as owner:
        await says(owner, "5")
        elsewhere = await follow(other)
        owner.kill()
        server.client.flushall()
        with pytest.raises(PositionLost, match="lost"):
            await asyncio.wait_for(elsewhere, 20)
    with pytest.raises(RunNotFound):
        await collect(process())


async def test_an_owner_dies_when_the_store_has_lost_its_tail(server: RedisServer, process: MakeLog) -> None:
    """After a failover and a death: who has more than anybody keeps gets the end, and who comes gets what is left."""
    other = process()
    with child(server, 200) as owner:
        await says(owner, "20")
        await until(lambda: asyncio.to_thread(server.client.exists, KEYS[1]))
        before = [server.client.dump(key) for key in KEYS]
        await says(owner, "200")
        ahead = await follow(other, 100)
        owner.kill()
        for key, dump in zip(KEYS, before, strict=True):
            server.client.restore(key, 600_000, dump, replace=True)
        assert 100 == is_whole([*tokens(1, 100), *(await asyncio.wait_for(ahead, 20))[-1:]])
    assert 100 > is_whole(await collect(process()))
    (end,) = await asyncio.wait_for(collect(process(), 190), 20)
    assert isinstance(end, Failed)


async def test_a_dead_owner_is_told_of_once_there_is_room(server: RedisServer, process: MakeLog) -> None:
    """In a full store nobody's end can be written; nobody is told anything wrong meanwhile."""
    other = process()
    with child(server, 5) as owner:
        await says(owner, "5")
        elsewhere = await follow(other)
        server.client.config_set("maxmemory", 1)
        owner.kill()
        done, _ = await asyncio.wait({elsewhere}, timeout=4 * LEASE_S)
        assert not done
        server.client.config_set("maxmemory", 0)
        assert 1 <= is_whole(await asyncio.wait_for(elsewhere, 20)) <= 5  # the store may not have the last ones yet
