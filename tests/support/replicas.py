"""Several server processes with one store, and runs as their clients see them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from llmstream.client import Client
from llmstream.demo_ollama import DemoOllama
from llmstream.events import Event
from tests.support.command import Process, served
from tests.support.redis import RedisServer
from tests.support.serving import post

LEASE_S = "1"


@dataclass
class Replicas:
    """Several servers, and what they share."""

    processes: list[Process]
    store: RedisServer
    upstream: DemoOllama

    @property
    def urls(self) -> list[str]:
        """Their addresses."""
        return [process.url for process in self.processes]


@contextmanager
def replicated(folder: Path, count: int = 3) -> Iterator[Replicas]:
    """So many servers with a store and an Ollama of their own."""
    with (
        DemoOllama(tokens_per_s=None, scenarios=True) as upstream,
        RedisServer(folder) as store,
        ExitStack() as stack,
        ThreadPoolExecutor(count) as pool,
    ):
        settings = {
            "redis_url": store.url,
            "lease_s": LEASE_S,
            "store_timeout_s": "1",
            "drain_s": "0.2",
            "grace_s": "2",
        }
        starting = [served(upstream, **settings) for _ in range(count)]
        for server in starting:
            stack.push(server)
        yield Replicas(list(pool.map(lambda server: server.__enter__(), starting)), store, upstream)


def started(url: str, model: str, **fields: object) -> str:
    """A run's id."""
    response = post(f"{url}/runs", {"question": "q", "model": model, **fields})
    assert 201 == response.status_code
    run: str = response.json()["run_id"]
    return run


def followed(url: str, run: str, after: int = 0) -> list[Event]:
    """All events of a run, as our own client reads them."""
    with Client(url) as client:
        return list(client.follow(run, after))
