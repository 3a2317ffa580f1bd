"""A chain run by LangChain: its items and what its callbacks tell, as events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from llmstream.chain.handlers import handlers_in
from llmstream.concurrency import steps
from llmstream.core.answer.documents import documents_in
from llmstream.core.answer.emitter import Emitter
from llmstream.core.chains.inspection import ends_in_graph, is_classic, is_sync_only
from llmstream.core.graphs.reader import GraphReader
from llmstream.core.graphs.streaming_models import StreamingWatcher
from llmstream.core.job import Job
from llmstream.core.readers.classic import ClassicReader
from llmstream.core.readers.items import ItemsReader
from llmstream.core.readers.reader import Reader
from llmstream.core.running.callbacks import Watcher
from llmstream.core.running.guard import guarded_run
from llmstream.errors import UpstreamEmpty, UpstreamTruncated
from llmstream.logger import logger


async def run_chain(job: Job, emitter: Emitter) -> None:
    """Emits the chain's answer, to the end; raises the chain's error."""
    reader = _reader(job, emitter)
    reader.given, reader.sources.given = job.chain_input, documents_in(job.chain_input)
    watcher = (Watcher if isinstance(reader, ItemsReader) else StreamingWatcher)(emitter, reader)
    async with guarded_run(watcher, job.settings):
        async with aclosing(_items(job, watcher)) as items:
            async for item in items:
                reader.put(item)
                emitter.check()
        reader.end()
        emitter.check()
    _finish(reader, watcher, emitter)


def _reader(job: Job, emitter: Emitter) -> Reader:
    if ends_in_graph(job.chain):
        return GraphReader(emitter, job.chain, answer_nodes=job.answer_nodes, said=job.said)
    return ClassicReader(emitter, job.chain) if is_classic(job.chain) else ItemsReader(emitter, job.chain)


def _finish(reader: Reader, watcher: Watcher, emitter: Emitter) -> None:
    """Emits the end of a complete answer; raises where a model says that its part is not complete."""
    if any(part.truncated for part in reader.shown):
        raise UpstreamTruncated(
            "The answer broke off: the model ended it without saying that it was complete. Ask again."
        )
    if reader.reason in ("load", "unload"):
        raise UpstreamEmpty("Ollama loaded or unloaded the model instead of answering. Ask again.")
    if isinstance(reader, GraphReader) and reader.interrupts:
        return emitter.interrupt(reader.interrupts, watcher.usage)
    emitter.finish(
        reader.reason,
        watcher.usage,
        load_s=watcher.load_s,
        tokens_per_s=watcher.tokens_per_s,
        calls_left=reader.calls.is_left,
    )


def _items(job: Job, watcher: Watcher) -> AsyncGenerator[Any, None]:
    config: Any = {**job.config, "callbacks": [watcher, *handlers_in(job.config)]}
    if is_sync_only(job.chain):
        return _in_thread(lambda: iter(job.chain.stream(job.chain_input, config)))
    return job.chain.astream(job.chain_input, config)  # type: ignore[return-value]


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
