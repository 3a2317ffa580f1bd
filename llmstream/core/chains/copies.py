"""Copies of chains with other parts; a chain whose parts stay the same is not copied.

Read from langchain-core 1.7: the fields in which its composites have their parts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from langchain_core.runnables import (
    Runnable,
    RunnableAssign,
    RunnableBinding,
    RunnableBranch,
    RunnableConfig,
    RunnableParallel,
    RunnableSequence,
    RunnableWithFallbacks,
)
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.configurable import DynamicRunnable, RunnableConfigurableAlternatives

Change = Callable[[Runnable[Any, Any]], Runnable[Any, Any]]


def with_parts(chain: Runnable[Any, Any], change: Change) -> Runnable[Any, Any]:
    """A copy of a chain whose parts are those that `change` makes of them."""
    if isinstance(chain, RunnableSequence):
        first, *middle, last = map(change, chain.steps)
        return copied(chain, first=first, middle=middle, last=last)
    if isinstance(chain, RunnableParallel):
        return copied(chain, steps__={key: change(step) for key, step in chain.steps__.items()})
    if isinstance(chain, RunnableAssign):
        return copied(chain, mapper=change(chain.mapper))
    return with_ways(chain, change)


def with_ways(chain: Runnable[Any, Any], change: Change) -> Runnable[Any, Any]:
    """A copy of a chain that hands its input to one of several, each of which `change` makes."""
    if isinstance(chain, RunnableBindingBase):
        return copied(chain, bound=change(chain.bound))
    if isinstance(chain, RunnableWithFallbacks):
        return copied(chain, runnable=change(chain.runnable), fallbacks=[change(each) for each in chain.fallbacks])
    if isinstance(chain, RunnableBranch):
        branches = [(condition, change(then)) for condition, then in chain.branches]
        return copied(chain, branches=branches, default=change(chain.default))
    if isinstance(chain, RunnableConfigurableAlternatives):
        others = {key: change(way) if isinstance(way, Runnable) else way for key, way in chain.alternatives.items()}
        return copied(chain, default=change(chain.default), alternatives=others)
    return copied(chain, default=change(chain.default)) if isinstance(chain, DynamicRunnable) else chain


def copied(chain: Any, **parts: Any) -> Runnable[Any, Any]:
    """A copy with these parts, where one of them differs from what the chain has."""
    is_same = all(_is_same(getattr(chain, name), part) for name, part in parts.items())
    copy: Runnable[Any, Any] = chain if is_same else chain.model_copy(update=parts)
    return copy


def _is_same(old: Any, new: Any) -> bool:
    if isinstance(new, dict):
        return all(_is_same(old[key], each) for key, each in new.items())
    if isinstance(new, list | tuple):
        return all(map(_is_same, old, new))
    return old is new


class ByStream(RunnableBinding[Any, Any]):  # type: ignore[no-redef]
    """A binding that a chain streams by its `stream` and `astream`, wherever it stands in it."""

    def transform(self, input: Iterator[Any], config: RunnableConfig | None = None, **more: Any) -> Iterator[Any]:
        """By way of `stream`, and not of what is bound."""
        return Runnable.transform(self, input, config, **more)

    def atransform(
        self, input: AsyncIterator[Any], config: RunnableConfig | None = None, **more: Any
    ) -> AsyncIterator[Any]:
        """By way of `astream`."""
        return Runnable.atransform(self, input, config, **more)
