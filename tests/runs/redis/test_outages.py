"""A store that restarts, falls silent, cuts or is two: answers go on, and everybody gets all of them or is told."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import redis

from llmstream.runs.redis.log import RedisLog
from llmstream.runs.redis.store.scripts import LOOK
from tests.support.redis import RedisServer
from tests.support.redis_runs import END, MakeLog, collect, follow, goes_on, is_refused, is_whole, new, tokens, until
from tests.support.redis_way import Way

MIRRORS = int(os.environ.get("LLMSTREAM_TEST_MIRRORS", "200"))


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

        await until(is_found_out)

        def probes() -> int:
            return int(server.client.info("commandstats")["cmdstat_publish"]["calls"])

        async def is_probed_again() -> bool:
            return probes() >= before + 6  # by two processes

        before = probes()
        await until(is_probed_again)
        assert 1 == other.figures()["store_probe_failures_total"]
        await other.aclose()


def _listening(server: RedisServer, log: RedisLog) -> list[str]:
    """The connections on which a process listens."""
    return [each["id"] for each in server.client.client_list("pubsub") if each["name"].endswith(log.node)]


async def test_who_reads_too_slowly_reads_what_it_missed(server: RedisServer, process: MakeLog) -> None:
    """A store that drops a listener for what it has not read yet takes nothing away from it."""
    server.client.config_set("client-output-buffer-limit", "pubsub 4096 4096 1")
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 1))
    elsewhere = await follow(other)
    before = _listening(server, other)
    number = 1
    for _ in range(30):
        owner.append("r", tokens(number + 1, number + 2000))
        number += 2000
        await asyncio.sleep(0)
    owner.append("r", [END])
    await owner.close("r")
    assert [*tokens(1, number), END] == await asyncio.wait_for(elsewhere, 30)
    assert before != _listening(server, other)  # it was dropped indeed


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
