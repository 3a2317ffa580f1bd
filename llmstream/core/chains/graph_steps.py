"""LangGraph graphs as steps of a chain: what follows one is given its final state, as `ainvoke` gives it.

LangGraph streams pieces of a state, and a step behind a graph would take the last piece for the whole; a graph that a
chain ends in tells more of its run than its state. So a chain is read through a copy, in which each graph is bound to
the way in which it is read; a chain that a function gives back is read in the same way.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from langchain_core.runnables import (
    Runnable,
    RunnableConfig,
    RunnableLambda,
    RunnableSequence,
    RunnableWithFallbacks,
)
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.utils import is_async_callable, is_async_generator

from llmstream.core.chain_part import ANSWERS
from llmstream.core.chains.chain_cache import ByChain
from llmstream.core.chains.copies import ByStream, Change, copied, with_parts, with_ways
from llmstream.core.chains.inspection import ends_in_graph, is_graph
from llmstream.errors import ChainFailed

# What a graph at the end of a chain is streamed with: its items are (namespace, mode, payload).
_STREAMED: dict[str, Any] = {"stream_mode": ["custom", "updates", "values"], "subgraphs": True}


def with_readable_graphs(chain: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """The chain with each of its graphs bound to the way in which it is read; the same chain where it shows none."""
    return _at_end(chain, _streamed) if ends_in_graph(chain) else _inside(chain)


class _Answering(ByStream):  # type: ignore[no-redef]
    """A graph that a chain ends in: its items tell all of its run."""

    def stream(self, input: Any, config: RunnableConfig | None = None, **more: Any) -> Iterator[Any]:
        """The items of the graph, one by one."""
        return self.bound.stream(input, _answering(config), **{**self.kwargs, **more, **_STREAMED})

    def astream(self, input: Any, config: RunnableConfig | None = None, **more: Any) -> AsyncIterator[Any]:
        """The items of the graph, one by one, without a generator of the binding's own around them."""
        return self.bound.astream(input, _answering(config), **{**self.kwargs, **more, **_STREAMED})


class _Late(_Answering):  # type: ignore[no-redef]
    """Such a graph whose items come when it has ended: where it fails, a fallback takes its place."""

    def stream(self, input: Any, config: RunnableConfig | None = None, **more: Any) -> Iterator[Any]:
        """All items of the graph."""
        yield from list(super().stream(input, config, **more))

    async def astream(self, input: Any, config: RunnableConfig | None = None, **more: Any) -> AsyncIterator[Any]:
        """All items of the graph."""
        for item in [item async for item in super().astream(input, config, **more)]:
            yield item


class _Whole(_Answering):  # type: ignore[no-redef]
    """A graph with steps behind it: its one item is its final state."""

    def stream(self, input: Any, config: RunnableConfig | None = None, **more: Any) -> Iterator[Any]:
        """The final state of the graph."""
        yield whole_state(self.invoke(input, config, **more))

    async def astream(self, input: Any, config: RunnableConfig | None = None, **more: Any) -> AsyncIterator[Any]:
        """The final state of the graph."""
        yield whole_state(await self.ainvoke(input, config, **more))


def whole_state(state: Any) -> Any:
    """The state of a graph that came to its end; raises `ChainFailed` where it waits for a person."""
    if isinstance(state, Mapping) and state.get("__interrupt__"):
        raise ChainFailed(
            "A graph inside the chain waits for a person (`interrupt`), and steps behind it would take its state for a "
            "whole one. Let the chain end with that graph."
        )
    return state


def _streamed(graph: Runnable[Any, Any]) -> Runnable[Any, Any]:
    return _Answering(bound=graph, kwargs={}, config={})


def _late(graph: Runnable[Any, Any]) -> Runnable[Any, Any]:
    return _Late(bound=graph, kwargs={}, config={})


def _answering(config: RunnableConfig | None) -> RunnableConfig:
    """The config of a graph that a chain ends in; LangChain's merging would take ten times as long."""
    given = config or {}
    return {**given, "metadata": {**(given.get("metadata") or {}), ANSWERS: True}}


def _whole(graph: Runnable[Any, Any]) -> Runnable[Any, Any]:
    return _Whole(bound=graph, kwargs={}, config={})


def _at_end(chain: Runnable[Any, Any], make: Change) -> Runnable[Any, Any]:
    """A copy of a chain that ends in graphs: `make` makes them, those before them are whole."""
    if is_graph(chain) and not isinstance(chain, RunnableBindingBase):
        return make(chain)
    if isinstance(chain, RunnableSequence):
        first, *middle = map(_inside, chain.steps[:-1])
        return copied(chain, first=first, middle=middle, last=_at_end(chain.last, make))
    return with_ways(chain, lambda way: _at_end(way, _late if isinstance(chain, RunnableWithFallbacks) else make))


def _inside(chain: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """A copy of a chain whose graphs are whole; the chain itself where it shows none."""
    if isinstance(chain, RunnableLambda):
        return _reading(chain)
    is_bare_graph = is_graph(chain) and not isinstance(chain, RunnableBindingBase)
    return _whole(chain) if is_bare_graph else with_parts(chain, _inside)


_returned = ByChain(_inside)


def _reading(step: Any) -> Runnable[Any, Any]:
    """A step like that of a function, which runs the chain that the function gives back with whole graphs."""
    made = copy.copy(step)
    for name in ("func", "afunc"):
        function = vars(step).get(name)
        if function is not None and not (inspect.isgeneratorfunction(function) or is_async_generator(function)):
            vars(made)[name] = _read(function)
    return made  # type: ignore[no-any-return]


def _read(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def read(*args: Any, **kwargs: Any) -> Any:
        return _ready(function(*args, **kwargs))

    @functools.wraps(function)
    async def read_async(*args: Any, **kwargs: Any) -> Any:
        return _ready(await function(*args, **kwargs))

    return read_async if is_async_callable(function) else read


def _ready(given: Any) -> Any:
    return _returned.get(given) if isinstance(given, Runnable) else given
