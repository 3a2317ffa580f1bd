"""Runs whose model, network and client misbehave at random, many at once: each has one end, and nothing stays behind.

A few rounds here; `make soak` has many.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.runs.memory import MemoryLog
from llmstream.settings import Settings
from tests.support.faultkit import Exchange, Proxy, ask, eventually, start
from tests.support.resuming import Client, random_faults, served_runs
from tests.support.serving import Serve, Served, generations

ROUNDS = int(os.environ.get("LLMSTREAM_TEST_ROUNDS", "30"))
SEED = int(os.environ.get("LLMSTREAM_TEST_SEED", "11"))
PARALLEL = 8
TERMINAL = ("finished", "failed", "cancelled")
QUICK = {"first_token_timeout_s": 0.3, "token_timeout_s": 0.2, "hold_s": 0, "grace_s": 0.1, "heartbeat_s": 0.05}
# Every kind of end, each after one request to Ollama.
MODELS = (
    "tokens-50", "tokens-300", "one-chunk", "single-bytes", "newlines", "slow-0.05", "length", "empty", "thinking",
    "no-done", "no-reason", "cut", "cut-line", "reset", "half-json", "error-first", "error-line", "error-500",
    "done-hang", "done-extra", "done-cut", "stall-3", "silent", "html-200", "html-502", "blank-line", "null-line",
    "repeat",
)  # fmt: skip
# What of a run's may be left in memory once nobody has to do with it.
HELD = ("MemoryFollower", "_Running", "EventStream", "_Sender", "Emitter")


@dataclass
class Visit:
    """One run, and a client's behaviour with it: what came, which must be the beginning of the run's events."""

    url: str
    cutting: str
    dice: random.Random
    number: int

    def __post_init__(self) -> None:
        self.seen: list[str] = []
        self.model = f"demo:{self.dice.choice(MODELS)}"

    def cut(self) -> str:
        """Behind a network that cuts; comes back, to the end."""
        way = self.dice.choice(["native-post", "native-get", "native-after"])
        client = Client(self.cutting, "q", way, f"key-{self.number}", model=self.model)
        client.run()
        self.seen = [message.id for message in client.applied]
        return client.last_id.rpartition("-")[0]

    def leave(self) -> str:
        """Reads a little, or nothing, and never comes back."""
        return self._read(start(self.url, question="q", model=self.model), self.dice.randrange(5))

    def stop(self) -> str:
        """Reads a little, stops the run, and reads on to its end."""
        run = self._read(start(self.url, question="q", model=self.model), self.dice.randrange(5))
        assert ask(f"{self.url}/runs/{run}/stop", "POST").status in (202, 204)
        return self._read(run)

    def resume(self) -> str:
        """Leaves and comes back, again and again, to the end."""
        run = start(self.url, question="q", model=self.model)
        for _ in range(self.dice.randrange(4)):
            self._read(run, self.dice.randrange(1, 30))
        return self._read(run)

    def _read(self, run: str, most: int | None = None) -> str:
        """Read a run's events on from where this client is: so many, or all."""
        headers = {"last-event-id": self.seen[-1]} if self.seen else {}
        with Exchange(f"{self.url}/runs/{run}/events", headers=headers) as exchange:
            while exchange.read() and (most is None or len(exchange.messages) < most):
                pass
            self.seen += [message.id for message in exchange.messages]
            exchange.close(reset=self.dice.random() < 0.5)
        return run


def check_end(visit: Visit, run: str) -> str:
    """The run has one end, its last event; its events are numbered without a gap; and the client saw none but these."""
    whole = ask(f"{visit.url}/runs/{run}/events")
    ids = [message.id for message in whole.messages]
    assert [f"{run}-{number}" for number in range(1, len(ids) + 1)] == ids
    assert [whole.types[-1]] == [kind for kind in whole.types if kind in TERMINAL]
    assert ids[: len(visit.seen)] == visit.seen
    return whole.types[-1]


def held() -> Counter[str]:
    """How many there are of the objects that belong to one run or one stream."""
    gc.collect()
    return Counter(name for each in gc.get_objects() if (name := type(each).__name__) in HELD)


def tasks(served: Served) -> int:
    """How many tasks the server has."""
    return len(asyncio.all_tasks(served.server.servers[0].get_loop()))


def test_random_faults_leave_nothing_behind(serve: Serve) -> None:
    """Whatever happens to it, a run ends once; then no task, connection, place or event of it is left."""
    before = held()
    with DemoOllama(tokens_per_s=1000, scenarios=True) as upstream:
        settings = Settings(ollama_url=upstream.url, demo="never", max_log_bytes=20_000_000, max_run_events=1_000)
        served = serve(create_app(settings.change(**QUICK)))
        idle_tasks = tasks(served)
        with Proxy(served.url, random_faults(random.Random(SEED))) as proxy:

            def one(number: int) -> str:
                visit = Visit(served.url, proxy.url, random.Random(f"{SEED}-{number}"), number)
                behaviour = visit.dice.choice([visit.cut, visit.leave, visit.stop, visit.resume])
                run = behaviour()
                # Asked without watching it: who watches a run keeps it.
                assert eventually(lambda: run not in served.runs.active), (visit.model, behaviour.__name__)
                return check_end(visit, run)

            with ThreadPoolExecutor(PARALLEL) as pool:
                ends = Counter(pool.map(one, range(ROUNDS)))
        # A run may be left or stopped before Ollama was asked, and none asks twice.
        assert ends["finished"] + ends["failed"] <= generations(upstream) <= ROUNDS
        assert ROUNDS == served_runs(served)
        assert upstream.wait_idle()
        assert eventually(lambda: not served.server.server_state.connections)
        assert eventually(lambda: tasks(served) == idle_tasks)
        log = served.runs.log
        assert isinstance(log, MemoryLog)
        assert log.bytes <= settings.max_log_bytes
    assert held() <= before
