"""A store that refuses, forgets, falls silent or is two: answers go on, and everybody gets all of them or is told."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from llmstream.errors import RunNotFound
from llmstream.events import Failed
from llmstream.runs.log import PositionLost
from llmstream.runs.redis.log import RedisLog
from llmstream.runs.redis.scripts import LOOK
from tests.support.redis import RedisServer
from tests.support.redis_runs import (
    END,
    LEASE_S,
    MakeLog,
    child,
    collect,
    follow,
    is_refused,
    is_whole,
    new,
    says,
    tokens,
    until,
)
from tests.support.redis_way import Way

MIRRORS = int(os.environ.get("LLMSTREAM_TEST_MIRRORS", "200"))
KEYS = ("{llmstream}:1:r:r", "{llmstream}:1:r:r:e")


async def goes_on(owner: RedisLog, number: int) -> None:
    """Whoever is with the owner gets what it adds, at once."""
    behind = owner.follow("r", number, idle_s=60)
    owner.append("r", tokens(number + 1, number + 10))
    batch = await asyncio.wait_for(anext(behind), 1)
    assert tokens(number + 1, number + 10) == list(batch.events)
    behind.close()


def _busy(server: RedisServer) -> Callable[[], object]:
    """Have a script run for ever."""
    server.client.config_set("busy-reply-threshold", 50)
    other = server.another_client()
    other.connection_pool.get_connection().send_command("EVAL", "while true do end", 0)
    return lambda: server.client.execute_command("SCRIPT", "KILL")


def _configured(name: str, value: object, before: object) -> Callable[[RedisServer], Callable[[], object]]:
    def begin(server: RedisServer) -> Callable[[], object]:
        server.client.config_set(name, value)
        return lambda: server.client.config_set(name, before)

    return begin


def _read_only(server: RedisServer) -> Callable[[], object]:
    server.client.replicaof("127.0.0.1", "1")
    return lambda: server.client.replicaof("no", "one")


def _misconfigured(server: RedisServer) -> Callable[[], object]:
    """A store that could not save and takes no writes therefore."""
    folder = server.client.config_get("dir")["dir"]
    server.client.config_set("save", "1 1")
    Path(folder, "dump.rdb").mkdir()  # which it can't replace by a file
    server.client.bgsave()

    def end() -> None:
        server.client.config_set("save", "")
        server.client.config_set("stop-writes-on-bgsave-error", "no")

    return end


def _stopped(server: RedisServer) -> Callable[[], object]:
    server.signal(signal.SIGSTOP)
    return lambda: server.signal(signal.SIGCONT)


def _rotated(server: RedisServer) -> Callable[[], object]:
    """The password is another one now, and all who came with the old one are cut off."""
    server.client.execute_command("ACL", "SETUSER", "us", "resetpass", ">new")
    server.client.execute_command("CLIENT", "KILL", "USER", "us")
    return lambda: server.client.execute_command("ACL", "SETUSER", "us", ">secret")


def _forbidden(server: RedisServer) -> Callable[[], object]:
    """It answers whoever asks whether it is there, and refuses all else."""
    server.client.execute_command("ACL", "SETUSER", "us", "-evalsha")
    return lambda: server.client.execute_command("ACL", "SETUSER", "us", "+evalsha")


@pytest.mark.parametrize(
    "refuse",
    [
        pytest.param(_configured("min-replicas-to-write", 1, 0), id="NOREPLICAS"),
        pytest.param(_read_only, id="READONLY"),
        pytest.param(_misconfigured, id="MISCONF"),
        pytest.param(_busy, id="BUSY"),
        pytest.param(_stopped, id="silent"),
        pytest.param(_rotated, id="another password"),
        pytest.param(_forbidden, id="NOPERM"),
    ],
)
async def test_a_store_that_refuses_is_as_one_that_is_away(
    server: RedisServer,
    process: MakeLog,
    caplog: pytest.LogCaptureFixture,
    refuse: Callable[[RedisServer], Callable[[], object]],
) -> None:
    """Answers go on here, new runs are refused; when it is mended, everybody elsewhere gets all of it.

    Each process says so once, and once that it is over.
    """
    server.client.execute_command("ACL", "SETUSER", "us", "on", ">secret", "~*", "&*", "+@all")
    url = f"redis://us:secret@127.0.0.1:{server.port}"
    owner, other = (process(redis_url=url, store_timeout_s=0.5) for _ in range(2))
    await owner.create(new())
    owner.append("r", tokens(1, 10))
    elsewhere = await follow(other)
    await owner.stored()
    mend = await asyncio.to_thread(refuse, server)
    await goes_on(owner, 10)
    await is_refused(owner)
    await goes_on(owner, 20)
    await asyncio.to_thread(mend)
    owner.append("r", [END])
    await owner.close("r")
    assert [*tokens(1, 30), END] == await asyncio.wait_for(elsewhere, 20)
    assert [*tokens(1, 30), END] == await collect(process())
    said = [record.getMessage() for record in caplog.records if "the store at" in record.getMessage()]
    assert 1 <= sum("is away" in line for line in said) <= 2 >= sum("is back" in line for line in said)


def _is_rewritten(server: RedisServer) -> bool:
    told = server.client.info("persistence")
    return not told["aof_rewrite_in_progress"] and not told["aof_rewrite_scheduled"]


def _is_loading(server: RedisServer) -> bool:
    try:
        return bool(server.another_client().ping()) and False
    except redis.exceptions.BusyLoadingError:
        return True
    except redis.exceptions.ConnectionError:
        return False


async def test_a_store_that_keeps_a_file_restarts(tmp_path: Path, process: MakeLog) -> None:
    """Killed and started again with what it wrote: nothing is written twice, nothing is missing.

    While it reads the file, which takes long, it is as away.
    """
    with RedisServer(
        tmp_path, "appendonly yes", "loading-process-events-interval-bytes 1024", "rdbcompression no"
    ) as server:
        for number in range(100):
            server.client.set(str(number), "x" * 1000)
        server.client.bgrewriteaof()  # of such a file it tells while it reads
        await until(lambda: asyncio.to_thread(_is_rewritten, server))
        owner, other = (process(redis_url=server.url) for _ in range(2))
        await owner.create(new(key="k", fingerprint="f"))
        owner.append("r", tokens(1, 100))
        elsewhere = await follow(other)
        await owner.stored()
        server.kill()
        owner.append("r", tokens(101, 190))
        starting = asyncio.create_task(asyncio.to_thread(server.start, "key-load-delay 100000"))
        await until(lambda: asyncio.to_thread(_is_loading, server))
        await is_refused(owner)
        await goes_on(owner, 190)
        server.another_client().config_set("key-load-delay", 0)
        await starting
        owner.append("r", [END])
        await owner.close("r")
        assert [*tokens(1, 200), END] == await asyncio.wait_for(elsewhere, 20)
        await other.link.wait()
        assert "r" == await other.find("", "k", "f")
        for log in (owner, other):
            await log.aclose()


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


async def test_two_masters_at_once(tmp_path: Path, process: MakeLog) -> None:
    """On the side without the owner the run is told as lost; on the owner's side it goes on to its end."""
    with (
        RedisServer(tmp_path, "repl-diskless-sync-delay 0") as old,
        RedisServer(tmp_path, f"replicaof 127.0.0.1 {old.port}") as new_master,
    ):
        owner = process(redis_url=old.url)
        await owner.create(new())
        owner.append("r", tokens(1, 10))
        await owner.stored()
        old.client.set("mark", "1")  # WAIT waits for what its own connection has written, and so for all before it
        assert 1 == await asyncio.to_thread(old.client.wait, 1, 10_000)
        new_master.client.replicaof("no", "one")
        other = process(redis_url=new_master.url)
        assert 10 == is_whole(await asyncio.wait_for(collect(other), 20))
        owner.append("r", [*tokens(11, 20), END])
        await owner.close("r")
        assert [*tokens(1, 20), END] == await collect(process(redis_url=old.url))


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


async def test_a_connection_that_went_deaf_is_made_again(server: RedisServer, process: MakeLog) -> None:
    """Nothing comes any more where news should come, and no error either: it is found out, and nothing is missing.

    The next connection is a good one, and is kept.
    """
    owner = process()
    await owner.create(new())
    owner.append("r", tokens(1, 10))
    async with Way(server.port) as way:
        other = process(redis_url=way.url)
        elsewhere = await follow(other)
        await owner.stored()
        way.deafen()
        owner.append("r", [*tokens(11, 20), END])
        await owner.close("r")
        assert [*tokens(1, 20), END] == await asyncio.wait_for(elsewhere, 20)

        async def is_found_out() -> bool:
            return other.figures()["store_probe_failures_total"] > 0

        def probes() -> int:
            return int(server.client.info("commandstats")["cmdstat_publish"]["calls"])

        async def is_probed_again() -> bool:
            return probes() >= before + 6  # by two processes

        await until(is_found_out)
        before = probes()
        await until(is_probed_again)
        assert 1 == other.figures()["store_probe_failures_total"]
        await other.aclose()


async def test_who_reads_too_slowly_reads_what_it_missed(server: RedisServer, process: MakeLog) -> None:
    """A store that drops a listener for what it has not read yet takes nothing away from it."""
    server.client.config_set("client-output-buffer-limit", "pubsub 8192 8192 1")
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 1))
    elsewhere = await follow(other)
    number = 1
    for _ in range(30):
        owner.append("r", tokens(number + 1, number + 2000))
        number += 2000
        await asyncio.sleep(0)
    owner.append("r", [END])
    await owner.close("r")
    assert [*tokens(1, number), END] == await asyncio.wait_for(elsewhere, 30)


async def test_many_runs_go_on_after_all_connections_were_cut(server: RedisServer, process: MakeLog) -> None:
    """A herd of followers comes back to the store: each has its whole run, and no further connection is made for it.

    No more than four of them read at once.
    """
    async with Way(server.port) as way:
        owner, other = process(), process(redis_url=way.url)
        ids = [f"r{number}" for number in range(MIRRORS)]
        for run_id in ids:
            await owner.create(new(run_id))
            owner.append(run_id, tokens(1, 3))
        elsewhere = [await follow(other, id=run_id) for run_id in ids]
        clients = len(server.clients())
        way.count(LOOK.sha.encode())
        server.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        server.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        for run_id in ids:
            owner.append(run_id, [*tokens(4, 6), END])
            await owner.close(run_id)
        found: list[Any] = await asyncio.wait_for(asyncio.gather(*elsewhere), 30)
        assert [[*tokens(1, 6), END]] * len(ids) == found
        assert 0 < way.most <= 4
        assert len(server.clients()) <= max(clients, 20)
        await other.aclose()
