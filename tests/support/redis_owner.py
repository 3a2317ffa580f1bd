"""A process that owns a run: `python -m tests.support.redis_owner URL PREFIX LEASE_S COUNT RUN [WATCHED]`.

It adds tokens that say their numbers, and writes each number when it has added it, `lost` when the run was taken from
it, `stop` when it was asked to end it, `set` when its clock was set. It watches the other run, with COUNT 0 the first
one instead, and writes `watching` when it has the first event, and what it has at the end.
"""

from __future__ import annotations

import asyncio
import sys
import time

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
    number, clock = 0, time.time()
    while True:
        await asyncio.sleep(0.005)
        before, clock = clock, time.time()
        if abs(clock - before) > 3600:
            print("set", flush=True)
        if number < count and not over:
            number += 1
            log.append(run_id, [Token(str(number))])
            print(number, flush=True)


async def watch(log: RedisLog, run_id: str) -> None:
    """Watch for ever."""
    follower = log.follow(run_id, 0, idle_s=600)
    await anext(follower)
    print("watching", flush=True)
    last = [event async for batch in follower for event in batch.events][-1]
    print(type(last).__name__, flush=True)
    await asyncio.sleep(600)


async def main() -> None:
    """Do all of it at once."""
    works = [watch(log, each) for each in others]
    await asyncio.gather(own(log, int(count), run_id) if int(count) else watch(log, run_id), *works)


if __name__ == "__main__":
    url, prefix, lease_s, count, run_id, *others = sys.argv[1:]
    log = RedisLog(Settings(redis_url=url, redis_prefix=prefix, lease_s=float(lease_s)))
    asyncio.run(main())
