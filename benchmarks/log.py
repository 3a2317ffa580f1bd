"""The run log alone, and the way from the socket through core and log to SSE text, without HTTP to a client."""

from __future__ import annotations

import asyncio
import os
import time

from benchmarks import crowd
from benchmarks.processes import MODEL, SERVER_CORE, upstream
from benchmarks.report import table, target
from llmstream.dialects.native.encoder import NativeEncoder
from llmstream.events import Token
from llmstream.runs.log import NewRun
from llmstream.runs.manager import Runs
from llmstream.runs.memory import MemoryLog
from llmstream.settings import Settings

_BATCHES = (1, 8, 400)


async def append_us(batch: int, events: int) -> float:
    """CPU of `MemoryLog.append` with so many events at a time, in µs per event."""
    log = MemoryLog(max_log_bytes=2**40)
    await log.create(NewRun(id="bench", on_cancel=lambda by: None))
    tokens = [Token(" word") for _ in range(batch)]
    begun = time.process_time()
    for _ in range(events // batch):
        log.append("bench", tokens)
    took_s = time.process_time() - begun
    await log.close("bench")
    return took_s / events * 1e6


async def encoded_per_s(runs: Runs, tokens: int) -> float:
    """Tokens per second of CPU, from the upstream's socket to SSE text."""
    begun = time.process_time()
    run = await runs.start(f"tokens={tokens}")
    follower = run.follower(idle_s=60)
    encoder, size = NativeEncoder(run.id), 0
    async for batch in follower:
        size += len(encoder.encode(batch.first, batch.events))
    follower.close()
    if size < 100 * tokens:
        raise RuntimeError(f"only {size} bytes for {tokens} tokens")
    return tokens / (time.process_time() - begun)


async def _best_encoded_per_s(port: int, tokens: int, repeats: int) -> float:
    settings = Settings(ollama_url=f"http://127.0.0.1:{port}", model=MODEL, replay_s=1)
    runs = Runs(settings)
    return max([await encoded_per_s(runs, tokens) for _ in range(repeats)])


def run(*, quick: bool) -> None:
    """Best of several repeats."""
    repeats, events = (3, 100_000) if quick else (7, 400_000)
    with upstream() as source:
        os.sched_setaffinity(0, {SERVER_CORE})
        rows = [(size, min(asyncio.run(append_us(size, events)) for _ in range(repeats))) for size in _BATCHES]
        per_s = crowd.run(_best_encoded_per_s(source.port, min(events, 150_000), repeats))
    table("The run log: CPU of an append", ("events at a time", "µs per event"), rows)
    target("an append, one event at a time", rows[0][1], 0.5, "µs")
    table("Core, log and SSE in one process", ("", "tokens/s and core"), [("from Ollama's socket to SSE text", per_s)])
    target("core, log and SSE", per_s, 300_000, "tokens/s", at_least=True)
