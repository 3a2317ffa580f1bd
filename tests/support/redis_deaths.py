"""Processes that own a run and kill themselves: `python -m tests.support.redis_deaths URL PREFIX LEASE_S SEED RUN…`.

Each is forked from this one, for nothing is cheaper. Its run's tokens say their numbers; a client of it writes "RUN
NUMBER" for each that it got. At most 20 ms after the last one the process is gone as by `kill -9`.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys

from llmstream.events import Token
from llmstream.runs.log import NewRun
from llmstream.runs.redis.log import RedisLog
from llmstream.settings import Settings


async def live(settings: Settings, run_id: str, dice: random.Random) -> None:
    """Own a run, and die."""
    log = RedisLog(settings)
    await log.create(NewRun(id=run_id, grace_s=600, on_cancel=lambda by: None))
    client = asyncio.create_task(read(log, run_id))
    last = dice.randint(20, 60)
    for number in range(1, last):
        log.append(run_id, [Token(str(number))])
        await asyncio.sleep(0.005)
    log.append(run_id, [Token(str(last))])
    asyncio.get_running_loop().call_later(dice.uniform(0, 0.02), os.kill, os.getpid(), signal.SIGKILL)
    await client


async def read(log: RedisLog, run_id: str) -> None:
    """Be with the owner, as the client that follows its run there."""
    async for batch in log.follow(run_id, 0, idle_s=600):
        for event in batch.events:
            assert isinstance(event, Token)
            os.write(1, f"{run_id} {event.text}\n".encode())


if __name__ == "__main__":
    url, prefix, lease_s, seed, *runs = sys.argv[1:]
    settings = Settings(redis_url=url, redis_prefix=prefix, lease_s=float(lease_s), store_timeout_s=20)
    for run_id in runs:
        if os.fork() == 0:
            asyncio.run(live(settings, run_id, random.Random(f"{seed} {run_id}")))
    for _ in runs:
        os.wait()
