"""Run logs in memory and in Redis: one log of each kind, or several processes on one store."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmstream.runs.log import RunLog
from llmstream.runs.manager import Runs
from llmstream.runs.memory import MemoryLog
from llmstream.runs.redis.log import RedisLog
from llmstream.settings import Settings
from tests.support import redis_runs, run_logs
from tests.support.cut_answers import MakeRuns
from tests.support.redis import RedisServer
from tests.support.redis_cluster import RedisCluster
from tests.support.run_logs import LOGS, MakeLog, Pair, Store, fill


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with RedisServer(tmp_path, "enable-debug-command local") as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A Redis Cluster for the whole session; who harms it mends it."""
    with RedisCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
async def process(server: RedisServer) -> AsyncGenerator[redis_runs.MakeLog]:
    """Makes the log of one more process; takes settings."""
    logs: list[RedisLog] = []

    def make(**changes: Any) -> RedisLog:
        settings = {"redis_url": server.url, "lease_s": redis_runs.LEASE_S, "store_timeout_s": 1, **changes}
        logs.append(RedisLog(Settings(**settings)))
        return logs[-1]

    yield make
    for log in logs:
        await log.aclose()
    if server.is_there:
        await asyncio.to_thread(server.wait_until_alone)
        assert [] == server.client.pubsub_channels()


@pytest.fixture
def replica(process: redis_runs.MakeLog, settings: Settings) -> MakeRuns:
    """Makes the runs of one more process; takes what is other than in the settings, and `on_end`."""

    def make(on_end: Any = None, **changes: Any) -> Runs:
        return Runs(settings.change(**changes), log=process(), on_end=on_end)

    return make


@pytest.fixture
def other_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(params=LOGS)
async def store(request: pytest.FixtureRequest) -> AsyncGenerator[Store]:
    """Each of them; what was made is closed after the test."""
    if request.param == "memory":
        yield Store(MemoryLog, fill)
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    home = request.getfixturevalue("other_loop") if request.param == "redis in another loop" else None
    prefix, made = secrets.token_hex(4), list[RunLog]()

    def make(*, replay_s: float = 600, max_log_bytes: int = 2**28) -> RunLog:
        settings = Settings(
            redis_url=server.url,
            redis_prefix=prefix,
            replay_s=replay_s,
            max_log_bytes=max_log_bytes,
            lease_s=run_logs.LEASE_S,
        )
        here = RedisLog(settings)
        there = here if request.param == "redis here" else RedisLog(settings)
        if home is not None:  # before anybody uses it in this one
            asyncio.run_coroutine_threadsafe(there.start(), home).result()
        made.append(Pair(here, there, home))
        return made[-1]

    async def trim(log: RunLog) -> int:
        await fill(log)
        await log.info("r")
        server.client.xtrim(f"{{{prefix}}}:1:r:r:e", maxlen=1, approximate=False)
        return 1 if request.param == "redis here" else 6

    yield Store(make, trim)
    for log in made:
        await log.aclose()
    await asyncio.to_thread(server.wait_until_alone)


@pytest.fixture
def make_log(store: Store) -> MakeLog:
    """Makes a log; takes replay_s and max_log_bytes."""
    return store.make


@pytest.fixture
def log(make_log: MakeLog) -> RunLog:
    """A log with its defaults."""
    return make_log()
