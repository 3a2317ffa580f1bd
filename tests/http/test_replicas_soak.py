"""Three servers that share a store, behind a network that cuts, while servers are killed and the store restarts.

A few cuts here; `make soak` has many.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from llmstream import sse
from llmstream.demo_ollama import DemoOllama
from llmstream.runs.log import END_OF_LOST
from tests.support.command import Process, served
from tests.support.faultkit import Proxy
from tests.support.redis import RedisServer
from tests.support.resuming import Client, random_faults

CUTS = int(os.environ.get("LLMSTREAM_TEST_REPLICA_CUTS", "40"))
SEED = int(os.environ.get("LLMSTREAM_TEST_SEED", "11"))
REPLICAS, PARALLEL = 3, 8
KILL_EVERY_S, RESTART_EVERY_S = 2.0, 10.0
LONG = "".join(f"{n}: só 😀 wörd, {n * n};\n" for n in range(40))
WAYS = ("native-post", "native-get", "native-after")
# How long a client tries to get the whole of an answer, in seconds.
PATIENCE_S = 90.0


class Servers:
    """So many servers; any of them may be killed, and another one takes its place."""

    def __init__(self, upstream: DemoOllama, store: RedisServer, dice: random.Random) -> None:
        self.killed = 0
        self._upstream = upstream
        self._settings = {
            "redis_url": store.url,
            "lease_s": "2",
            "store_timeout_s": "1",
            "grace_s": "20",
            "hold_s": "0.05",
        }
        self._dice = dice
        self._stack = ExitStack()
        self._pool = ThreadPoolExecutor(REPLICAS)
        self._living: list[Process] = []
        self._over = threading.Event()

    def __enter__(self) -> Servers:
        list(self._pool.map(lambda _: self._start(), range(REPLICAS)))
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._pool.shutdown()
        self._stack.close()

    def _start(self) -> None:
        while not self._over.is_set():
            try:
                self._living.append(self._stack.enter_context(served(self._upstream, **self._settings)))
                return
            except AssertionError:  # the store was away when it began; whatever watches over servers tries again
                continue

    def any(self) -> str:
        """The address of one that lives, as far as is known."""
        return self._dice.choice(self._living).url

    def kill_one(self) -> None:
        """Kill one and start another, unless there would be none left."""
        if len(self._living) > 1:
            process = self._living.pop(self._dice.randrange(len(self._living)))
            process.process.kill()
            self.killed += 1
            self._pool.submit(self._start)


class Persistent(Client):
    """Comes back whatever happens, until it has the end."""

    def run(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while not self.over:
            self.turns += 1
            with self.ask() as exchange:
                try:
                    while exchange.read():
                        assert time.monotonic() < until
                    assert time.monotonic() < until
                except (AssertionError, TimeoutError):
                    raise AssertionError(f"no end in sight: {self}, {exchange.status} {exchange.body!r}") from None
                assert exchange.status in (0, 200, 201, 503), (exchange.status, exchange.body)
                self._apply(exchange)
            if exchange.status in (0, 503):
                time.sleep(0.1)

    def __repr__(self) -> str:
        return f"{self.way} {self.turns} turns at {self.last_id!r}"


def end_of(client: Client) -> str:
    """Check that the client has each event once, in order and without a gap, and one end; the end."""
    (run,) = {message.id.rpartition("-")[0] for message in client.applied}
    *numbers, last = [int(message.id.rpartition("-")[2]) for message in client.applied]
    end = client.applied[-1]
    assert list(range(1, len(numbers) + 1)) == numbers, (run, numbers)
    assert [end] == [each for each in client.applied if each.event in ("finished", "failed", "cancelled", "reset")]
    if end.event == "finished":
        assert (len(numbers) + 1, LONG) == (last, client.text)
        return "finished"
    assert "owner_lost" in end.data, end
    assert last in (END_OF_LOST, len(numbers) + 1)
    assert LONG.startswith(client.text)
    return "lost"


def check_same(first: Client, late: Client) -> None:
    """Who comes late has the same events, as far as both have them."""

    def told(client: Client) -> list[sse.Message]:
        return client.applied[:-1] if end_of(client) == "lost" else client.applied

    one, two = told(first), told(late)
    shared = min(len(one), len(two))
    assert [(each.id, each.data) for each in one[:shared]] == [(each.id, each.data) for each in two[:shared]]


@contextmanager
def chaos(servers: Servers, store: RedisServer) -> Iterator[None]:
    """Kill a server every 2 s, and the store every 10 s, until the end of the block."""
    over = threading.Event()

    def kill() -> None:
        restart_at = time.monotonic() + RESTART_EVERY_S / 2
        while not over.wait(KILL_EVERY_S):
            servers.kill_one()
            if time.monotonic() > restart_at:
                restart_at += RESTART_EVERY_S
                store.kill()
                store.start()

    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill)
        try:
            yield
        finally:
            over.set()
            killing.result()


def test_nothing_is_lost_while_servers_die_and_the_store_restarts(tmp_path: Path) -> None:
    """Every client has the whole answer, or its beginning and `owner_lost`; each key started one generation at most."""
    dice = random.Random(SEED)
    ends: Counter[str] = Counter()
    cuts = keys = 0
    with (
        DemoOllama(tokens_per_s=300) as upstream,
        RedisServer(tmp_path, "appendonly yes") as store,
        Servers(upstream, store, dice) as servers,
        Proxy(servers.any, random_faults(dice)) as proxy,
        ThreadPoolExecutor(PARALLEL) as pool,
    ):

        def one(number: int) -> tuple[str, int]:
            question = f"question {number}"
            upstream.answers[question] = LONG
            first = Persistent(proxy.url, question, WAYS[number % 3], f"key-{number}")
            first.run()
            run = first.last_id.rpartition("-")[0]
            late = Persistent(proxy.url, question, "native-get", "", run=run)
            late.run()
            check_same(first, late)
            asked = sum(each.body.get("messages", [{}])[-1].get("content") == question for each in upstream.requests)
            assert asked <= 1
            return end_of(first), first.turns + late.turns - 2

        with chaos(servers, store):
            while cuts < CUTS:
                for end, cut in pool.map(one, range(keys, keys + 4 * PARALLEL)):
                    ends[end] += 1
                    cuts += cut
                keys += 4 * PARALLEL
        print(f"{keys} runs {dict(ends)}, {cuts} cuts, {servers.killed} servers killed")
        assert not [key for key in store.client.scan_iter() if store.client.pttl(key) == -1]
