"""The log in memory holds what its limit says, and lets go of the rest."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc

from langchain_core.runnables import RunnableLambda

from llmstream.runs.manager import Runs
from llmstream.runs.memory import MemoryLog
from llmstream.settings import Settings
from tests.support.faultkit import eventually
from tests.support.followed_runs import follow
from tests.support.run_logs import started

RUNS = 300


CHAIN = RunnableLambda(lambda question: question[-3:])


async def ask_all(runs: Runs, question: str) -> None:
    """Asks one after the other, each to its end."""
    for number in range(RUNS):
        key = f"{question[:6]}-{number:032}"
        await follow(await runs.start(question, chain=CHAIN, request_key=key, fingerprint=f"{number:064}"))


async def test_all_that_ended_runs_hold_is_counted(settings: Settings) -> None:
    """What many short runs leave in memory is within what the log counts, and no question is in it."""
    runs = Runs(settings)
    await ask_all(runs, "before")  # what is loaded and kept once
    counted = runs.log.local.bytes
    gc.collect()
    tracemalloc.start()
    try:
        await ask_all(runs, "a long question " * 500)
        await asyncio.sleep(0)
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held <= runs.log.local.bytes - counted <= 2 * held


async def test_a_run_that_has_said_nothing_counts() -> None:
    """A limit on memory holds for runs with few events, too: the oldest that ended go."""
    log = MemoryLog(max_log_bytes=100_000)
    for number in range(RUNS):
        await started(log, 1, str(number), ended=True)
    assert await log.info("0") is None
    assert await log.info(str(RUNS - 1)) is not None
    assert log.bytes <= 100_000


async def test_runs_are_forgotten_though_nobody_asks() -> None:
    """Each run that ended is let go after its time, whenever it ended, with nothing else going on."""
    log = MemoryLog(replay_s=0.05)
    for number in range(3):
        await started(log, 1, str(number), ended=True)
        await asyncio.sleep(0.03)
    assert await asyncio.to_thread(eventually, lambda: log.bytes == 0)
