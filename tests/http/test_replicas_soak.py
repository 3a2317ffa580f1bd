"""Three servers that share a store, behind a network that cuts, while servers die, the store restarts and fails over.

A few cuts here; `make soak` has many.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import redis

from llmstream import sse
from llmstream.demo_ollama import DemoOllama
from llmstream.runs.log import END_OF_LOST
from tests.support.command import Process, served
from tests.support.faultkit import Proxy, eventually
from tests.support.redis import RedisServer
from tests.support.redis_sentinels import Watched, watched
from tests.support.resuming import Client, random_faults

CUTS = int(os.environ.get("LLMSTREAM_TEST_REPLICA_CUTS", "40"))
SEED = int(os.environ.get("LLMSTREAM_TEST_SEED", "11"))
REPLICAS, PARALLEL = 3, 8
KILL_EVERY_S, RESTART_EVERY_S, FAIL_OVER_EVERY_S = 2.0, 10.0, 30.0
# When the store is killed first, and when it fails over first.
FIRST_RESTART_S, FIRST_FAIL_OVER_S = 5.0, 3.0
# The store comes back in less, as it does where something watches over it, so that its Sentinels do nothing.
DOWN_AFTER_MS = 3000
# When every server has left the old master, after the Sentinels named another one.
MOVED_S = 2.0
# The longest time that any key stays, in ms: a run may take an hour, and is kept for ten minutes and one more.
LONGEST_MS = 4_260_000
LONG = "".join(f"{n}: só 😀 wörd, {n * n};\n" for n in range(40))
WAYS = ("native-post", "native-get", "native-after")
# How long a client tries to get the whole of an answer, in seconds.
PATIENCE_S = 90.0


class Servers:
    """So many servers; any of them may be killed, and another one takes its place."""

    def __init__(self, upstream: DemoOllama, store: Watched, dice: random.Random) -> None:
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

    def end(self) -> None:
        """Tell all of them to end, as whoever runs them does; nothing may keep them."""
        self._over.set()
        self._pool.shutdown()
        for process in self._living:
            process.process.terminate()
        for process in self._living:
            process.ends_within(20)

    def kill_one(self) -> None:
        """Kill one and start another, unless there would be none left."""
        if len(self._living) > 1:
            process = self._living.pop(self._dice.randrange(len(self._living)))
            process.process.kill()
            self.killed += 1
            self._pool.submit(self._start)


class Persistent(Client):
    """Comes back whatever happens, until it has the end, or is told that the answer was lost before it began."""

    lost = False
    # The store and the owner have lost it.
    gone = False

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
                assert exchange.status in (0, 200, 201, 404, 503), (exchange.status, exchange.body)
                self._apply(exchange)
            if exchange.status == 503 and b'"owner_lost"' in exchange.body:  # before its first event
                self.lost = True
                return
            if exchange.status == 404:
                self.gone = True
                return
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


class Chaos:
    """Kills a server every 2 s and the store every 10 s, and has the store fail over every 30 s.

    restarts, twofold: from when to when it was started again, and there may have been two masters.
    """

    def __init__(self, servers: Servers, store: Watched) -> None:
        self.restarts: list[tuple[float, float]] = []
        self.twofold: list[tuple[float, float]] = []
        self._servers = servers
        self._store = store
        self._over = threading.Event()

    def __enter__(self) -> Chaos:
        self._pool = ThreadPoolExecutor(1)
        self._work = self._pool.submit(self._kill)
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._pool.shutdown()
        self._work.result()

    def _kill(self) -> None:
        master, looked_at = self._store.master, time.monotonic()
        restart_at, fail_over_at = looked_at + FIRST_RESTART_S, looked_at + FIRST_FAIL_OVER_S
        while not self._over.wait(KILL_EVERY_S):
            self._servers.kill_one()
            if time.monotonic() > restart_at:
                restart_at += RESTART_EVERY_S
                begun = time.monotonic()
                self._store.restart()
                self.restarts.append((begun, time.monotonic() + MOVED_S))
            elif time.monotonic() > fail_over_at and self._fail_over(master):
                fail_over_at += FAIL_OVER_EVERY_S
            before, master = master, self._store.master
            since, looked_at = looked_at, time.monotonic()
            if master is not before:
                self.twofold.append((since, looked_at + MOVED_S))

    def _fail_over(self, old: RedisServer) -> bool:
        """Have another master; False where the replica can't be one now."""
        try:
            self._store.fail_over()
        except redis.ResponseError:
            return False
        return eventually(lambda: self._store.master is not old)

    def might_lose(self, since: float, until: float) -> bool:
        """True if the store may have lost something at some moment between these."""
        return any(begun < until and since < over for begun, over in [*self.twofold, *self.restarts])


def test_nothing_is_lost_while_servers_die_and_the_store_restarts(tmp_path: Path) -> None:
    """Every client has the whole answer, or its beginning and `owner_lost`; each key started one generation.

    It may start two while there are two masters: what the old one is told then, the new one does not know. Where its
    owner dies then, nobody knows the run, and so it is told. Afterwards nothing is left but keys that expire.
    """
    dice = random.Random(SEED)
    ends: Counter[str] = Counter()
    odd: list[tuple[float, float]] = []
    cuts = keys = 0
    with (
        DemoOllama(tokens_per_s=300) as upstream,
        watched(tmp_path, "appendonly yes", down_after_ms=DOWN_AFTER_MS) as store,
        Servers(upstream, store, dice) as servers,
        Proxy(servers.any, random_faults(dice)) as proxy,
        ThreadPoolExecutor(PARALLEL) as pool,
    ):

        def one(number: int) -> tuple[str, int]:
            question = f"question {number}"
            upstream.answers[question] = LONG
            since = time.monotonic()
            first = Persistent(proxy.url, question, WAYS[number % 3], f"key-{number}")
            first.run()
            if first.lost:
                assert not first.applied
                return "lost", first.turns - 1
            run = first.last_id.rpartition("-")[0] or "never"
            late = Persistent(proxy.url, question, "native-get", "", run=run)
            late.run()
            if first.gone or late.gone:
                odd.append((since, time.monotonic()))
                return "gone", first.turns + late.turns - 2
            if late.lost:
                assert len(first.applied) == 1
            else:
                check_same(first, late)
            asked = sum(each.body.get("messages", [{}])[-1].get("content") == question for each in upstream.requests)
            assert asked == 1 or (asked == 0 and not first.text) or asked == 2
            if asked == 2:
                odd.append((since, time.monotonic()))
            return end_of(first), first.turns + late.turns - 2

        with Chaos(servers, store) as chaos:
            while cuts < CUTS or not chaos.twofold:
                for end, cut in pool.map(one, range(keys, keys + 4 * PARALLEL)):
                    ends[end] += 1
                    cuts += cut
                keys += 4 * PARALLEL
        told = f"{keys} runs {dict(ends)}, {len(odd)} odd, {cuts} cuts, {servers.killed} servers killed"
        print(f"{told}, {len(chaos.restarts)} restarts and {len(chaos.twofold)} failovers of the store")
        assert all(chaos.might_lose(*each) for each in odd)
        assert upstream.wait_idle()
        assert eventually(lambda: proxy.open == 0)
        servers.end()
        store.wait_until_alone()
        client = store.master.client
        assert {key: left for key in client.scan_iter() if not 0 < (left := client.pttl(key)) <= LONGEST_MS} == {}
        assert eventually(lambda: not list(client.scan_iter("{llmstream}:1:n:*")))
