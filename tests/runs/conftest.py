"""Fixtures: a Redis of the test's own, and logs that share it, each as a process would have one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmstream.runs.redis.log import RedisLog
from llmstream.settings import Settings
from tests.support.redis import RedisServer
from tests.support.redis_logs import LEASE_S, MakeLog


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
async def process(server: RedisServer) -> AsyncGenerator[MakeLog]:
    """Makes the log of one more process; takes settings."""
    logs: list[RedisLog] = []

    def make(**changes: Any) -> RedisLog:
        settings = {"redis_url": server.url, "lease_s": LEASE_S, "store_timeout_s": 1, **changes}
        logs.append(RedisLog(Settings(**settings)))
        return logs[-1]

    yield make
    for log in logs:
        await log.aclose()
