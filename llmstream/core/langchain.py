"""A chain run by LangChain: its items and what its callbacks tell, as events."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from llmstream.chain import notify_status
from llmstream.core.anatomy import is_cumulative, is_graph, is_sync_only
from llmstream.core.emitter import Emitter
from llmstream.core.foreign import translate
from llmstream.core.job import Job
from llmstream.core.leftovers import end_leftovers
from llmstream.core.outputs import Outputs
from llmstream.core.watcher import StallGuard, Watcher
from llmstream.errors import (
    ChainFailed,
    UpstreamEmpty,
    UpstreamTruncated,
)

logger = logging.getLogger("llmstream")


async def run_chain(job: Job, emitter: Emitter) -> None:
    """Emit what the chain answers, to the end; raises what it fails with."""
    graph = is_graph(job.chain)
    watcher = Watcher(emitter, graph=graph)
    outputs = Outputs(emitter, watcher, cumulative=is_cumulative(job.chain))
    notify_status.set(watcher.status)
    put: Callable[[Any], None] = outputs.put_graph if graph else outputs.put
    stall = StallGuard(watcher, job.settings)
    try:
        async with aclosing(_items(job, watcher, graph=graph)) as items:
            async for item in items:
                put(item)
                emitter.check()
        outputs.end()
        emitter.check()
    except BaseException as error:
        end_leftovers(watcher, error)
        if isinstance(error, asyncio.CancelledError):
            stall.raise_if_expired()
            if not _is_cancelled():  # the chain waited for something that was cancelled
                raise chain_failed(error) from error
        elif isinstance(error, Exception) and (ours := translate(error, from_model=watcher.model_failed)) is not None:
            raise ours from error
        raise
    finally:
        stall.stop()
    if watcher.truncated:
        raise UpstreamTruncated("The answer broke off: the model's stream ended without saying that it was complete.")
    if watcher.reason in ("load", "unload"):
        raise UpstreamEmpty("Ollama loaded or unloaded the model instead of answering. Ask again.")
    emitter.finish(watcher.reason, watcher.usage, load_s=watcher.load_s)


def _items(job: Job, watcher: Watcher, *, graph: bool) -> AsyncGenerator[Any, None]:
    config: Any = {"callbacks": [watcher]}
    extra: Any = {"stream_mode": ["messages", "custom", "updates"], "subgraphs": True} if graph else {}
    if is_sync_only(job.chain):
        return _in_thread(lambda: iter(job.chain.stream(job.chain_input, config, **extra)))
    return job.chain.astream(job.chain_input, config, **extra)  # type: ignore[return-value]


async def _in_thread(make: Callable[[], Any]) -> AsyncGenerator[Any, None]:
    """The items of a sync iterator, made in a thread one at a time, so that a slow one delays nobody else."""
    iterator = await asyncio.to_thread(make)
    nothing = object()
    try:
        while (item := await asyncio.to_thread(next, iterator, nothing)) is not nothing:
            yield item
    finally:
        if (close := getattr(iterator, "close", None)) is not None:
            try:
                close()
            except ValueError:  # it still runs in its thread; what it yields is not asked for any more
                logger.debug("a sync chain was left while it was running")


def _is_cancelled() -> bool:
    """Whether somebody cancelled the task that runs."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def chain_failed(error: BaseException) -> ChainFailed:
    """The error for an exception of the chain's own: its text goes to the log, under an id, and to nobody else."""
    incident = secrets.token_hex(4)
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else "?"
    logger.error("chain failed [%s] %s at %s: %.500r", incident, type(error).__name__, where, str(error))
    logger.debug("chain failed [%s]", incident, exc_info=error)
    failure = ChainFailed(f"The chain failed. The server's log says why, under {incident}.")
    failure.__cause__ = error
    return failure
