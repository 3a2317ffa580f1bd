"""A process that owns a run: `python -m tests.support.redis_owner URL PREFIX LEASE_S COUNT RUN`.

It adds tokens that say their numbers, and writes each number when it has added it, `lost` when the run was taken from
it, `stop` when it was asked to end it. With COUNT 0 it watches the run instead, and writes `watching` when it has the
first event.
"""

from __future__ import annotations

import asyncio
import sys

from llmstream.errors import OwnerLost
from llmstream.events import Token, failed
from llmstream.runs.log import NewRun
from llmstream.runs.redis.log import RedisLog
from llmstream.settings import Settings


async def own(log: RedisLog, count: int, run_id: str) -> None:
    """Add tokens, and then wait for ever."""
    over = False

    def lost() -> None:
        nonlocal over
        over = True
        log.append(run_id, [failed(OwnerLost())])
        print("lost", flush=True)

    await log.create(NewRun(id=run_id, grace_s=600, on_cancel=lambda by: print(by, flush=True), on_lost=lost))
    number = 0
    while True:
        await asyncio.sleep(0.005)
        if number < count and not over:
            number += 1
            log.append(run_id, [Token(str(number))])
            print(number, flush=True)


async def watch(log: RedisLog, run_id: str) -> None:
    """Watch for ever."""
    follower = log.follow(run_id, 0, idle_s=600)
    await anext(follower)
    print("watching", flush=True)
    await asyncio.sleep(600)


if __name__ == "__main__":
    url, prefix, lease_s, count, run_id = sys.argv[1:]
    log = RedisLog(Settings(redis_url=url, redis_prefix=prefix, lease_s=float(lease_s)))
    asyncio.run(own(log, int(count), run_id) if int(count) else watch(log, run_id))
