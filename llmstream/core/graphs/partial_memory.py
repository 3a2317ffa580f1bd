"""Chains of which only some ways remember a conversation: a branch, fallbacks, alternatives.

They are asked with all of it, for the ways that remember nothing; each that remembers takes what is new to it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig, RunnableSequence
from langchain_core.runnables.config import ensure_config, merge_configs

from llmstream import concurrency
from llmstream.core.chains.copies import ByStream, with_parts, with_ways
from llmstream.core.graphs.thread_owners import asked_first, is_mixed, new_messages, takes_only_news
from llmstream.core.message_content import messages_in_list


def with_news_inside(chain: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """The chain, whose ways that remember take what is new to them, where others do not; the same chain elsewhere."""
    if not is_mixed(chain):
        return chain
    if isinstance(chain, RunnableSequence):
        asked = asked_first(chain)
        return with_parts(chain, lambda step: with_news_inside(step) if step is asked else step)
    return with_ways(chain, lambda way: with_news_inside(way) if is_mixed(way) else _of_news(way))


def _of_news(way: Runnable[Any, Any]) -> Runnable[Any, Any]:
    return _OfNews(bound=way, kwargs={}, config={}) if takes_only_news(way) else way


class _OfNews(ByStream):  # type: ignore[no-redef]
    """A way that remembers, and is given a whole conversation."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **more: Any) -> Any:
        """The output for what is new."""
        return self.bound.invoke(*concurrency.run(self._news(input, config)), **more)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **more: Any) -> Any:
        """The output for what is new."""
        return await self.bound.ainvoke(*await self._news(input, config), **more)

    def stream(self, input: Any, config: RunnableConfig | None = None, **more: Any) -> Iterator[Any]:
        """The items for what is new."""
        yield from self.bound.stream(*concurrency.run(self._news(input, config)), **more)

    async def astream(self, input: Any, config: RunnableConfig | None = None, **more: Any) -> AsyncIterator[Any]:
        """The items for what is new."""
        # Closed with this one: a stop must reach the model.
        async with aclosing(self.bound.astream(*await self._news(input, config), **more)) as items:  # type: ignore[type-var]
            async for item in items:
                yield item

    async def _news(self, value: Any, config: RunnableConfig | None) -> tuple[Any, RunnableConfig]:
        config = ensure_config(config)
        if messages_in_list(value):
            news, place = await new_messages(self.bound, value, config)
            return news, merge_configs(config, place)  # type: ignore[arg-type]
        if isinstance(value, Mapping) and messages_in_list(said := value.get("messages")):
            news, place = await new_messages(self.bound, said, config)
            return {**value, "messages": news}, merge_configs(config, place)  # type: ignore[arg-type]
        return value, config
