"""Owners that are killed at any moment: each client keeps what it has, and is told once; nothing comes twice.

Some deaths here; LLMSTREAM_TEST_OWNER_DEATHS says how many.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from llmstream.events import Event
from llmstream.runs.log import END_OF_LOST
from llmstream.runs.redis.log import RedisLog
from tests.support.forked import Forked
from tests.support.redis import RedisServer
from tests.support.redis_runs import LEASE_S, MakeLog, collect, is_whole, tokens

DEATHS = int(os.environ.get("LLMSTREAM_TEST_OWNER_DEATHS", "20"))
SEED = os.environ.get("LLMSTREAM_TEST_SEED", "11")
AT_ONCE = 20


async def until_all_died(
    server: RedisServer, runs: list[str], elsewhere: RedisLog
) -> tuple[Mapping[str, int], Mapping[str, asyncio.Task[list[Event]]]]:
    """The number up to which each owner's client came; and those who follow every other run elsewhere."""
    held: dict[str, int] = {}
    following: dict[str, asyncio.Task[list[Event]]] = {}
    with Forked("tests.support.redis_deaths", server.url, "llmstream", str(LEASE_S), SEED, *runs) as owners:
        while line := await asyncio.to_thread(owners.stdout.readline):
            run_id, number = line.split()
            held[run_id] = held.get(run_id, 0) + 1
            assert held[run_id] == int(number)
            if number == "1" and len(held) % 2:
                following[run_id] = asyncio.create_task(collect(elsewhere, id=run_id))
    return held, following


async def test_clients_of_owners_that_are_killed(server: RedisServer, process: MakeLog) -> None:
    """Who comes back elsewhere gets what it lacks, if anything, and one end, also with more than was ever stored."""
    elsewhere, ahead = process(), 0
    for first in range(0, DEATHS, AT_ONCE):
        runs = [f"r{number}" for number in range(first, min(first + AT_ONCE, DEATHS))]
        held, following = await until_all_died(server, runs, elsewhere)
        resumed = await asyncio.wait_for(asyncio.gather(*(collect(elsewhere, held[run], run) for run in runs)), 60)
        another = process()
        late = await asyncio.gather(*(collect(another, 0, run) for run in runs))
        for run, rest, stored in zip(runs, resumed, late, strict=True):
            assert held[run] <= is_whole([*tokens(1, held[run]), *rest])
            ahead += is_whole(stored) < held[run]
            assert run not in following or stored == await following[run]
            assert [] == await collect(elsewhere, END_OF_LOST, run)
    print(f"{DEATHS} owners were killed; {ahead} clients had more than was stored")
    assert ahead
