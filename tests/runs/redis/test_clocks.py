"""Clocks that are set while runs go on: nobody is taken for dead, and nothing for old."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from tests.support.redis import RedisServer
from tests.support.redis_runs import END, LEASE_S, MakeLog, follow, has, is_whole, new, says, tokens, until
from tests.support.wall_clock import WallClock


async def test_the_clock_of_a_process_is_set(tmp_path: Path, server: RedisServer, process: MakeLog) -> None:
    """Hours forth and back: its run goes on, though the store lost it at that moment, and so does what it follows."""
    clock, log = WallClock(tmp_path), process()
    await log.create(new("s"))
    log.append("s", tokens(1, 10))
    arguments = [server.url, "llmstream", str(LEASE_S), "20", "r", "s"]
    with clock.process("tests.support.redis_owner", *arguments) as there:
        await says(there, "20")
        await until(lambda: has(log, 20))
        following = await follow(log)
        for first, offset in ((11, "+5h"), (21, "-5h")):
            there.send_signal(signal.SIGSTOP)
            clock.set(offset)
            server.client.flushall()
            log.append("s", tokens(first, first + 9))
            there.send_signal(signal.SIGCONT)
            await says(there, "set")
            await until(lambda: has(log, 20))
        log.append("s", [END])
        await log.close("s")
        await says(there, "Finished")
        there.kill()
        assert 20 == is_whole(await asyncio.wait_for(following, 20))


async def test_the_clock_of_the_store_is_set(server: RedisServer, process: MakeLog) -> None:
    """Forth: leases are over before their time, and soon there again. Back: they last for hours, and are renewed."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 10))
    following = await follow(other)
    nodes = [f"{{llmstream}}:1:n:{log.node}" for log in (owner, other)]

    async def is_renewed() -> bool:
        return all(0 < server.client.pttl(node) <= 1000 * LEASE_S for node in nodes)

    for number in (11, 21):
        server.client.delete(*nodes)
        owner.append("r", tokens(number, number + 9))
        await until(is_renewed)
    for node in nodes:
        server.client.pexpire(node, 18_000_000)
    await until(is_renewed)
    owner.append("r", [END])
    await owner.close("r")
    assert [*tokens(1, 30), END] == await asyncio.wait_for(following, 20)
