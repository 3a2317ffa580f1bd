"""How well the wait for a first token is foretold: a real Ollama with the tiny model, behind a proxy that slows it.

A first token comes when so many times the CPU time has passed that the model took for it, on one thread: so the prompts
differ as they really do, and what else runs on the machine counts for little.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web

from benchmarks.report import percentile, table, target
from llmstream.events import Status
from llmstream.ollama.chunks import Chunk
from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.forecast import FORECASTS, prompt_of
from llmstream.ollama.models import Ollama
from tests.support.real_ollama import RealOllama, find_ollama

_DOCS = Path(__file__).parent.parent / "docs"
_LEARNING = 3  # the first runs, which are not judged
_known: list[int] = []  # the processes of the model
_BYTES_PER_TOKEN = 2.1  # of the tiny model, whose context holds 2048 tokens


@asynccontextmanager
async def slowed(ollama: RealOllama, factor: float) -> AsyncGenerator[str, None]:
    """The address of a proxy before an Ollama whose answers begin `factor` times as late; its counters say so."""
    async with ClientSession() as session:

        async def forward(request: web.Request) -> web.StreamResponse:
            begun, cpu_s = time.monotonic(), _cpu_s(ollama)
            body = await request.read()
            async with session.request(request.method, ollama.url + request.path, data=body) as got:
                response = web.StreamResponse(status=got.status, headers={"content-type": got.content_type})
                first = await got.content.readline()
                if request.path == "/api/chat":
                    due = begun + (_cpu_s(ollama) - cpu_s) * factor
                    await asyncio.sleep(max(due - time.monotonic(), 0))
                took_s = time.monotonic() - begun
                await response.prepare(request)
                await response.write(_slow(first, took_s))
                async for line in got.content:
                    await response.write(_slow(line, took_s))
                await response.write_eof()
                return response

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", forward)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


def _cpu_s(ollama: RealOllama) -> float:
    """The CPU time of the model's processes, in finer steps than the hundredths of a second that `ps` shows."""
    tasks = [path for pid in _runners(ollama) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(path.read_text().split()[0]) for path in tasks) / 1e9


def _runners(ollama: RealOllama) -> list[int]:
    """The model's processes, looked up once: that takes longer than a short prompt."""
    if not _known:
        _known.extend(ollama.runner_pids())
    return _known


def _slow(line: bytes, took_s: float) -> bytes:
    """A line whose counters say that the prompt was read until the first token came."""
    if b'"done":true' not in line:
        return line
    fields = json.loads(line)
    fields["prompt_eval_duration"] = round(took_s * 1e9) - fields["load_duration"]
    return json.dumps(fields).encode() + b"\n"


class _Run:
    """One run: what was forecast when it was asked, what was told first, and when its first token came."""

    def __init__(self, ollama: Ollama, question: str) -> None:
        self._ollama = ollama
        self._body: dict[str, Any] = {
            "model": "tiny-chat",
            "messages": [{"role": "user", "content": question}],
            "options": {"num_predict": 3, "num_ctx": 2048, "num_thread": 1},
            "stream": True,
        }
        self.forecast_s: float | None = None
        self.told_s: float | None = None
        self.took_s = 0.0

    async def ask(self) -> None:
        """Asks, and notes the times."""
        prompt = prompt_of(self._body)
        if prompt is not None and (found := FORECASTS.of(self._ollama.endpoint.url, "tiny-chat", prompt)):
            self.forecast_s = found.load_s + found.read_s
        begun = time.monotonic()

        def notify(status: Status) -> None:
            if self.told_s is None:
                self.told_s = time.monotonic() - begun + (status.eta_s or 0)

        def receive(chunks: list[Chunk]) -> None:
            self.took_s = self.took_s or time.monotonic() - begun

        await self._ollama.chat(self._body, receive, notify=notify)


async def _measure(real: RealOllama, *, runs: int, factor: float) -> list[_Run]:
    text = " ".join(path.read_text() for path in sorted(_DOCS.glob("*.md")))
    chance = random.Random(15)
    done: list[_Run] = []
    async with slowed(real, factor) as slow_url:
        ollama = Ollama(Endpoint(url=slow_url))
        for _ in range(runs):
            size = round(math.exp(chance.uniform(math.log(10), math.log(1900))) * _BYTES_PER_TOKEN)
            begin = chance.randrange(len(text) - size)
            run = _Run(ollama, text[begin : begin + size])
            await run.ask()
            done.append(run)
    return done


def run(*, quick: bool) -> None:
    """The error of the forecast, and of what was told after three seconds, beside when the first token came."""
    binary = find_ollama()
    if binary is None:
        print("\nThere is no Ollama to measure with: `tests/support/ollama/build.sh .cache/ollama` builds it.")
        return
    with RealOllama(binary) as ollama:
        runs = asyncio.run(_measure(ollama, runs=20 if quick else 50, factor=5))[_LEARNING:]
    judged = {
        "expected when asked": [(each.forecast_s, each.took_s) for each in runs if each.forecast_s is not None],
        "told after 3 s": [(each.told_s, each.took_s) for each in runs if each.told_s is not None],
    }
    rows: list[tuple[object, ...]] = []
    for what, pairs in judged.items():
        errors = [abs(told_s - took_s) / took_s * 100 for told_s, took_s in pairs]
        if errors:
            rows.append((what, len(pairs), *(percentile(errors, each) for each in (25, 50, 75, 90))))
    table("Error of the time to the first token, % of it", ("", "runs", "p25", "median", "p75", "p90"), rows)
    errors = [abs(told_s - took_s) / took_s * 100 for told_s, took_s in judged["expected when asked"]]
    target("median error after the first three runs", percentile(errors, 50), 25, "%")


if __name__ == "__main__":
    run(quick=False)
