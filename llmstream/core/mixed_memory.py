"""Chains of which only some ways remember a conversation: a branch, fallbacks, alternatives.

They are asked with all of it, for the ways that remember nothing; each that remembers takes what is new to it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig, RunnableSequence
from langchain_core.runnables.config import ensure_config, merge_configs

from llmstream import concurrency
from llmstream.core.chain_copies import copied, with_ways
from llmstream.core.chain_reader import messages_in_list
from llmstream.core.conversation_threads import is_mixed, new_messages, takes_only_news


def with_news_inside(chain: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """The chain, whose ways that remember take what is new to them, where others do not; the same chain elsewhere."""
    if not is_mixed(chain):
        return chain
    if isinstance(chain, RunnableSequence):
        return copied(chain, first=with_news_inside(chain.first))
    return with_ways(chain, lambda way: with_news_inside(way) if is_mixed(way) else _of_news(way))


def _of_news(way: Runnable[Any, Any]) -> Runnable[Any, Any]:
    return _OfNews(bound=way, kwargs={}, config={}) if takes_only_news(way) else way


class _OfNews(RunnableBinding[Any, Any]):  # type: ignore[no-redef]
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
        async for item in self.bound.astream(*await self._news(input, config), **more):
            yield item

    def transform(self, input: Iterator[Any], config: RunnableConfig | None = None, **more: Any) -> Iterator[Any]:
        """By way of `stream`, which takes a whole input."""
        return Runnable.transform(self, input, config, **more)

    def atransform(
        self, input: AsyncIterator[Any], config: RunnableConfig | None = None, **more: Any
    ) -> AsyncIterator[Any]:
        """By way of `astream`."""
        return Runnable.atransform(self, input, config, **more)

    async def _news(self, value: Any, config: RunnableConfig | None) -> tuple[Any, RunnableConfig]:
        config = ensure_config(config)
        if messages_in_list(value):
            news, place = await new_messages(self.bound, value, config)
            return news, merge_configs(config, place)  # type: ignore[arg-type]
        if isinstance(value, Mapping) and messages_in_list(said := value.get("messages")):
            news, place = await new_messages(self.bound, said, config)
            return {**value, "messages": news}, merge_configs(config, place)  # type: ignore[arg-type]
        return value, config
