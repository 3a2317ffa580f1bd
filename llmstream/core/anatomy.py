"""What a chain is made of, as far as LangChain's own composites show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from langchain_core.output_parsers import BaseCumulativeTransformOutputParser
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableLambda, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase

T = TypeVar("T")
_LANGCHAIN = ("langchain", "langchain_core", "langchain_community", "langchain_ollama", "langgraph", "llmstream")
_CHAINS_KEPT = 64


class ByChain(Generic[T]):
    """What `find` finds out about a chain, kept for the last chains: it takes long, and a chain is not changed."""

    def __init__(self, find: Callable[[Runnable[Any, Any]], T]) -> None:
        self._find = find
        self._found: dict[int, tuple[Runnable[Any, Any], T]] = {}

    def get(self, chain: Runnable[Any, Any]) -> T:
        """What was found out."""
        known = self._found.get(id(chain))
        if known is None or known[0] is not chain:
            self._found[id(chain)] = known = (chain, self._find(chain))
            while len(self._found) > _CHAINS_KEPT:
                del self._found[next(iter(self._found))]
        return known[1]


def first_step(chain: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """What a chain begins with, inside its sequences and bindings."""
    while isinstance(chain, RunnableBindingBase | RunnableSequence):
        chain = chain.bound if isinstance(chain, RunnableBindingBase) else chain.first
    return chain


def last_step(chain: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """What a chain ends with."""
    while isinstance(chain, RunnableBindingBase | RunnableSequence):
        chain = chain.bound if isinstance(chain, RunnableBindingBase) else chain.last
    return chain


def steps(chain: Runnable[Any, Any]) -> list[Runnable[Any, Any]]:
    """The chain and all its parts, as far as sequences, parallels and bindings show them."""
    found: list[Runnable[Any, Any]] = [chain]
    if isinstance(chain, RunnableBindingBase):
        return found + steps(chain.bound)
    inner = getattr(chain, "steps", None) or getattr(chain, "steps__", None) or getattr(chain, "mapper", None) or ()
    parts = inner.values() if isinstance(inner, Mapping) else inner if isinstance(inner, list) else [inner]
    return found + [step for part in parts if isinstance(part, Runnable) for step in steps(part)]


def sync_parts(chain: Runnable[Any, Any]) -> list[str]:
    """The names of parts that can't be cancelled: sync functions, which run on in their thread after a stop."""
    return [step.get_name() for step in steps(chain) if _is_sync(step)]


def _is_sync(step: Runnable[Any, Any]) -> bool:
    if isinstance(step, RunnableLambda):
        return not hasattr(step, "afunc")
    if isinstance(step, RunnableGenerator):
        return not hasattr(step, "_atransform")
    # A class of somebody's own with nothing but `invoke`.
    own, base = type(step), Runnable
    return own.__module__.partition(".")[0] not in _LANGCHAIN and own.ainvoke is base.ainvoke


def model_name(chain: Runnable[Any, Any]) -> str:
    """The name of the first model in a chain, or of the chain where it shows none."""
    for step in steps(chain):
        name = getattr(step, "model", None) or getattr(step, "model_name", None)
        if isinstance(name, str):
            return name
    return chain.get_name()


def is_sync_only(chain: Runnable[Any, Any]) -> bool:
    """Whether a chain holds a sync generator, which LangChain can't stream from async code."""
    return any(isinstance(step, RunnableGenerator) and not hasattr(step, "_atransform") for step in steps(chain))


def is_cumulative(chain: Runnable[Any, Any]) -> bool:
    """Whether each item a chain yields replaces the one before, as JSON parsers do."""
    return isinstance(last_step(chain), BaseCumulativeTransformOutputParser)


def state_names(chain: Runnable[Any, Any]) -> list[str] | None:
    """What the state of a LangGraph graph holds; None for another chain."""
    while isinstance(chain, RunnableBindingBase):
        chain = chain.bound
    schema = getattr(getattr(chain, "builder", None), "state_schema", None)
    return None if schema is None else list(getattr(schema, "__annotations__", {}))


def is_graph(chain: Runnable[Any, Any]) -> bool:
    """Whether a chain is a LangGraph graph, told without importing LangGraph."""
    while isinstance(chain, RunnableBindingBase):
        chain = chain.bound
    return any(cls.__name__ == "Pregel" for cls in type(chain).__mro__)
