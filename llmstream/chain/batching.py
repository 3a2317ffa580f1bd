"""The streaming of LangChain's models of Ollama through the strict reader, in groups where only llmstream listens."""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Self

from langchain_core.runnables.config import RunnableConfig

from llmstream import concurrency
from llmstream.chain.handlers import is_heard_in_groups, notify_status
from llmstream.concurrency import AT_A_TIME, FULL, pulled
from llmstream.ollama.chunks import Chunk, joined
from llmstream.ollama.upstream import Upstream


class InGroups:
    """The streaming methods in the place of a model's own; to stand before the model among the bases of a class.

    The class has private attributes: `_in_groups`, which begins as False, and `_ollama`, the server.
    """

    _in_groups: bool
    _ollama: Upstream | None

    def through(self, ollama: Upstream) -> Self:
        """The model itself, from now on streaming from a given server."""
        self._ollama = ollama
        return self

    def upstream(self) -> Upstream:
        """The server this model streams from."""
        raise NotImplementedError

    def _line_of(self, chunk: Chunk) -> dict[str, Any]:
        """The chunk as the model expects a line of Ollama's."""
        raise NotImplementedError

    async def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:
        """Streams as the model's own `astream`."""
        model: Any = super(InGroups, self._for(config))
        async with aclosing(model.astream(input, config, **kwargs)) as pieces:
            async for piece in pieces:
                yield piece

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """Streams as the model's own `stream`."""
        model: Any = super(InGroups, self._for(config))
        yield from model.stream(input, config, **kwargs)

    def _for(self, config: RunnableConfig | None) -> Self:
        model: Any = self
        if getattr(self, "output_version", None) == "v1" or not is_heard_in_groups(model, config):
            return self
        _ = model._serialized  # noqa: SLF001 - takes long, and is kept for all copies
        copied = copy.copy(self)
        copied._in_groups = True  # noqa: SLF001 - of its own class
        return copied

    async def _alines(self, body: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any] | str]:
        async with aclosing(self._reads(body)) as reads:
            async for chunks in reads:
                for chunk in chunks:
                    yield self._line_of(chunk)

    def _lines(self, body: Mapping[str, Any]) -> Iterator[Mapping[str, Any] | str]:
        for chunks in concurrency.iterate(lambda: self._reads(body)):
            yield from map(self._line_of, chunks)

    async def _reads(self, body: Mapping[str, Any]) -> AsyncGenerator[list[Chunk], None]:
        notify = notify_status.get()
        reads: AsyncGenerator[list[Chunk], None] = pulled(
            lambda receive: self.upstream().chat(body, receive, notify=notify),
            at_a_time=FULL if self._in_groups else AT_A_TIME,
        )
        async with aclosing(reads):
            async for chunks in reads:
                yield joined(chunks) if self._in_groups else chunks
