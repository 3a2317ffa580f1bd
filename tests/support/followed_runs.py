"""Runs in this process, as tests follow them."""

from __future__ import annotations

import asyncio

from llmstream.demo_ollama import DemoOllama
from llmstream.events import Event
from llmstream.runs.manager import Runs
from llmstream.runs.run import Run

SILENT = "demo:silent"


async def follow(run: Run, after: int = 0) -> list[Event]:
    """All events of a run, to its end."""
    return [event async for event in run.follow(after)]


async def until(run: Run, kind: type[Event]) -> Event:
    """The next event of a kind; the run is not kept by it."""
    follower = run.follower(idle_s=20, watching=False)
    try:
        async for batch in follower:
            for event in batch.events:
                if isinstance(event, kind):
                    return event
    finally:
        follower.close()
    raise AssertionError(f"no {kind.__name__} came")


async def idle(upstream: DemoOllama) -> bool:
    """Whether Ollama has been left."""
    return await asyncio.to_thread(upstream.wait_idle)


async def active(upstream: DemoOllama, count: int = 1) -> bool:
    """Whether Ollama is at work on so many answers."""
    return await asyncio.to_thread(upstream.wait_active, count)


async def settled(runs: Runs) -> bool:
    """Whether every place comes back."""
    async with asyncio.timeout(10):
        while runs._places.active or runs._places.queue:  # noqa: ASYNC110 - places tell nobody when they are free
            await asyncio.sleep(0)
    return True
