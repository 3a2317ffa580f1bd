"""A chain run by LangChain: its items and what its callbacks tell, as events."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from llmstream.chain import notify_status
from llmstream.concurrency import steps
from llmstream.core.anatomy import is_classic, is_graph, is_sync_only
from llmstream.core.classic import ClassicReader
from llmstream.core.emitter import Emitter
from llmstream.core.foreign import translate
from llmstream.core.graph import GraphReader
from llmstream.core.items import ItemsReader
from llmstream.core.job import Job
from llmstream.core.leftovers import end_leftovers
from llmstream.core.reader import Reader
from llmstream.core.stall import StallGuard
from llmstream.core.streaming import StreamingWatcher
from llmstream.core.watcher import Watcher
from llmstream.errors import (
    ChainFailed,
    UpstreamEmpty,
    UpstreamTruncated,
)
from llmstream.telling import logger


async def run_chain(job: Job, emitter: Emitter) -> None:
    """Emit what the chain answers, to the end; raises what it fails with."""
    reader = _reader(job, emitter)
    watcher = (Watcher if isinstance(reader, ItemsReader) else StreamingWatcher)(emitter, reader)
    notify_status.set(watcher.status)
    stall = StallGuard(watcher, job.settings)
    try:
        async with aclosing(_items(job, watcher, graph=isinstance(reader, GraphReader))) as items:
            async for item in items:
                reader.put(item)
                emitter.check()
        reader.end()
        emitter.check()
    except BaseException as error:
        watcher.end()
        end_leftovers(watcher, error, lambda: bool(watcher.models))
        if isinstance(error, asyncio.CancelledError):
            stall.raise_if_expired()
            if not _is_cancelled():  # the chain waited for something that was cancelled
                raise chain_failed(error) from error
        elif isinstance(error, Exception) and (ours := translate(error, from_model=watcher.model_failed)) is not None:
            raise ours from error
        raise
    finally:
        stall.stop()
    _finish(reader, watcher, emitter)


def _reader(job: Job, emitter: Emitter) -> Reader:
    if is_graph(job.chain):
        return GraphReader(emitter, job.chain, answer_nodes=job.answer_nodes)
    return ClassicReader(emitter, job.chain) if is_classic(job.chain) else ItemsReader(emitter, job.chain)


def _finish(reader: Reader, watcher: Watcher, emitter: Emitter) -> None:
    """The end of an answer that came to its end; raises where a model says that its part did not."""
    if any(part.truncated for part in reader.shown):
        raise UpstreamTruncated("The answer broke off: the model's stream ended without saying that it was complete.")
    if reader.reason in ("load", "unload"):
        raise UpstreamEmpty("Ollama loaded or unloaded the model instead of answering. Ask again.")
    if isinstance(reader, GraphReader) and reader.interrupts:
        return emitter.interrupt(reader.interrupts, watcher.usage)
    emitter.finish(reader.reason, watcher.usage, load_s=watcher.load_s, calls_left=reader.calls.is_left)


def _items(job: Job, watcher: Watcher, *, graph: bool) -> AsyncGenerator[Any, None]:
    config: Any = {**job.config, "callbacks": [watcher]}
    extra: Any = {"stream_mode": ["custom", "updates", "values"], "subgraphs": True} if graph else {}
    if is_sync_only(job.chain):
        return _in_thread(lambda: iter(job.chain.stream(job.chain_input, config, **extra)))
    return job.chain.astream(job.chain_input, config, **extra)  # type: ignore[return-value]


async def _in_thread(make: Callable[[], Any]) -> AsyncGenerator[Any, None]:
    """The items of a sync iterator, made in a thread one at a time, so that a slow one delays nobody else."""
    iterator = await steps.run(make)
    nothing = object()
    try:
        while (item := await steps.run(next, iterator, nothing)) is not nothing:
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
