"""A Redis of the benchmarks' own, without persistence: `python -m benchmarks.redis_server PORT`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from benchmarks.processes import OTHERS_CORE, Process


class Redis:
    """A store for the servers, and what it tells of itself."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.url = f"redis://127.0.0.1:{process.port}"
        self.client = redis.Redis(port=process.port)

    def figure(self, name: str) -> float:
        """One number of what INFO tells."""
        return float(self.client.info()[name])

    def calls(self, *commands: str) -> int:
        """How often these commands were called so far."""
        stats = self.client.info("commandstats")
        return sum(int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"]) for command in commands)


@contextmanager
def store() -> Iterator[Redis]:
    """A Redis, on the core of the clients."""
    process = Process("benchmarks.redis_server", core=OTHERS_CORE)
    try:
        yield Redis(process)
    finally:
        process.close()


if __name__ == "__main__":
    options = ("--port", sys.argv[1], "--bind", "127.0.0.1", "--save", "", "--dir", tempfile.gettempdir())
    os.execvp("redis-server", ["redis-server", *options])
