"""A server under load for hours: `python -m tests.soak.long --minutes 60`.

Each second so many clients ask `llmstream serve`; they read to the end, are cut off at a random byte and come back,
leave, or stop their run. Each answer must come whole, in order, with one end. Once a minute the server's memory,
descriptors, threads and latency are read; from the tenth minute on, when as many runs end as are forgotten, none of
them may grow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from llmstream import sse
from llmstream.demo_ollama import DemoOllama
from tests.support.command import served

MODELS = ("demo:tokens-50", "demo:tokens-300", "demo:newlines", "demo:thinking", "demo:cut", "demo:error-line")
ENDS = ("finished", "failed", "cancelled", "interrupted")
# Until then memory fills with runs that can be read again (LLMSTREAM_REPLAY_S).
SETTLED_MINUTES = 10
MAX_GROWTH = 1.10


@dataclass
class Sample:
    """The server at one moment. rss: in MB; the latencies to the first token, in ms, of the minute before."""

    minute: int
    rss: float
    descriptors: int
    threads: int
    median_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return (
            f"{self.minute:>4} min  {self.rss:>6.1f} MB  {self.descriptors:>4} descriptors  {self.threads:>3} threads  "
            f"first token {self.median_ms:>6.1f} ms, p99 {self.p99_ms:>7.1f} ms"
        )


@dataclass
class Visitor:
    """One client and its run."""

    client: httpx.AsyncClient
    dice: random.Random
    first_token_s: float | None = None
    numbers: list[int] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    run: str = ""

    async def visit(self) -> str:
        """One run in one of the ways; raises `AssertionError` where something was lost, doubled or untold."""
        way = self.dice.choice(["read", "cut", "cut", "leave", "stop"])
        asked = time.monotonic()
        body = {"question": f"q{self.dice.random()}", "model": self.dice.choice(MODELS)}
        limit = None if way == "read" else self.dice.randrange(3000)
        async for message in self._messages("POST", "/stream", limit, json=body):
            if self.first_token_s is None and message.event == "token":
                self.first_token_s = time.monotonic() - asked
        if way == "stop" and self.run:
            await self.client.post(f"/runs/{self.run}/stop")
        while way != "leave" and self.run and not self.ends:
            again = self.dice.randrange(3000) if way == "cut" else None
            headers = {"last-event-id": f"{self.run}-{self.numbers[-1]}"} if self.numbers else {}
            async for _ in self._messages("GET", f"/runs/{self.run}/events", again, headers=headers):
                pass
        assert self.numbers == list(range(1, len(self.numbers) + 1)), self.numbers
        assert len(self.ends) <= 1, self.ends
        assert way == "leave" or not self.run or self.ends
        return way

    async def _messages(
        self, method: str, path: str, limit: int | None, **options: object
    ) -> AsyncIterator[sse.Message]:
        decoder, size = sse.Decoder(), 0
        async with self.client.stream(method, path, **options) as response:  # type: ignore[arg-type]
            if response.status_code != 200:  # refused, or failed before the first byte, with a status that says so
                assert response.status_code in (204, 502, 503, 504), response.status_code
                self.ends += [] if response.status_code == 503 else ["failed"]
                return
            async for data in response.aiter_bytes():
                data = data if limit is None else data[: limit - size]
                size += len(data)
                for message in decoder.feed(data):
                    self._note(message)
                    yield message
                if limit is not None and size >= limit:
                    return

    def _note(self, message: sse.Message) -> None:
        run, _, number = message.id.rpartition("-")
        self.run = self.run or run
        assert run == self.run
        self.numbers.append(int(number))
        if message.event in ENDS:
            self.ends.append(message.event)


class Soak:
    """The clients, and what is seen of the server."""

    def __init__(self, url: str, process: int, seed: int) -> None:
        self.samples: list[Sample] = []
        self.ways: Counter[str] = Counter()
        self._process = process
        self._dice = random.Random(seed)
        self._latencies: list[float] = []
        self._client = httpx.AsyncClient(base_url=url, timeout=60, limits=httpx.Limits(max_keepalive_connections=0))

    async def run(self, minutes: int, per_s: float) -> None:
        """Visit for so long."""
        begun, begun_visits = time.monotonic(), 0
        async with self._client, asyncio.TaskGroup() as visits:
            while (passed := time.monotonic() - begun) < minutes * 60:
                if passed >= 60 * (len(self.samples) + 1):
                    self._sample()
                # By the clock, so that as many runs are kept at the end as after ten minutes, however busy the machine.
                while begun_visits < passed * per_s:
                    begun_visits += 1
                    visits.create_task(self._visit(random.Random(self._dice.random())))
                await asyncio.sleep(1 / per_s)
        self._sample()

    async def _visit(self, dice: random.Random) -> None:
        visitor = Visitor(self._client, dice)
        self.ways[await visitor.visit()] += 1
        if visitor.first_token_s is not None:
            self._latencies.append(visitor.first_token_s * 1000)

    def _sample(self) -> None:
        status = Path(f"/proc/{self._process}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        latencies, self._latencies = sorted(self._latencies) or [0.0], []
        sample = Sample(
            len(self.samples) + 1,
            int(fields["VmRSS"].split()[0]) / 1024,
            len(os.listdir(f"/proc/{self._process}/fd")),
            int(fields["Threads"]),
            statistics.median(latencies),
            latencies[len(latencies) * 99 // 100],
        )
        self.samples.append(sample)
        print(sample, flush=True)

    def faults(self) -> list[str]:
        """What grew from the tenth minute to the end, as sentences."""
        settled = self.samples[min(SETTLED_MINUTES, len(self.samples)) - 1]
        last = self.samples[-1]
        grown = []
        if last.rss > settled.rss * MAX_GROWTH:
            grown.append(f"memory grew from {settled.rss:.1f} to {last.rss:.1f} MB")
        if last.descriptors > settled.descriptors + 50:
            grown.append(f"descriptors grew from {settled.descriptors} to {last.descriptors}")
        if last.threads > settled.threads + 20:
            grown.append(f"threads grew from {settled.threads} to {last.threads}")
        return grown


def main() -> int:
    """The exit status: 0 where nothing grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--runs-per-s", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with DemoOllama(tokens_per_s=None, scenarios=True) as upstream, served(upstream) as server:
        soak = Soak(server.url, server.process.pid, arguments.seed)
        asyncio.run(soak.run(arguments.minutes, arguments.runs_per_s))
    print(json.dumps(soak.ways))
    faults = soak.faults()
    print("\n".join(faults) or "Nothing grew.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
