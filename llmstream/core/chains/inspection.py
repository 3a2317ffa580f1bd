"""The parts of a chain, as far as LangChain's own composites show them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from inspect import isasyncgenfunction, isgeneratorfunction
from itertools import takewhile
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.output_parsers import BaseCumulativeTransformOutputParser
from langchain_core.runnables import (
    Runnable,
    RunnableAssign,
    RunnableBinding,
    RunnableBranch,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
    RunnableSequence,
    RunnableWithFallbacks,
)
from langchain_core.runnables.base import RunnableBindingBase, RunnableEachBase
from langchain_core.runnables.configurable import DynamicRunnable, RunnableConfigurableAlternatives

from llmstream.core.chains.chain_cache import ByChain

_LANGCHAIN = ("langchain", "langchain_core", "langchain_community", "langchain_ollama", "langgraph", "llmstream")


def unbound(chain: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """The chain without the bindings around it."""
    while isinstance(chain, RunnableBindingBase):
        chain = chain.bound
    return chain


def ways(chain: Runnable[Any, Any]) -> list[Runnable[Any, Any]]:
    """The parts that a chain hands its input to, one of them: what it binds, its fallbacks, branches, choices."""
    if isinstance(chain, RunnableBindingBase):
        return [chain.bound]
    if isinstance(chain, RunnableWithFallbacks):
        return list(chain.runnables)
    if isinstance(chain, RunnableBranch):
        return [chain.default, *(then for _, then in chain.branches)]
    if isinstance(chain, RunnableConfigurableAlternatives):
        return [chain.default, *(way for way in chain.alternatives.values() if isinstance(way, Runnable))]
    return [chain.default] if isinstance(chain, DynamicRunnable) else []


def first_step(chain: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """The first step of a chain; of several ways a graph, which takes one form of input only, else the first."""
    firsts = _first_steps(chain)
    return next((step for step in firsts if is_graph(step)), firsts[0])


def _first_steps(chain: Runnable[Any, Any]) -> list[Runnable[Any, Any]]:
    if isinstance(chain, RunnableSequence):
        return _first_steps(first_of(chain))
    return [step for way in ways(chain) for step in _first_steps(way)] or [chain]


def first_of(sequence: RunnableSequence[Any, Any]) -> Runnable[Any, Any]:
    """The first step of a sequence that does more than to hand on its input, with or without values beside it."""
    handing_on = (RunnablePassthrough, RunnableAssign)
    return next((step for step in sequence.steps if not isinstance(unbound(step), handing_on)), sequence.first)


def assigned(chain: Runnable[Any, Any]) -> list[RunnableParallel[Any]]:
    """The values that a chain puts beside its input before it does anything else with it, by their keys."""
    if hasattr(chain, "history_factory_config"):  # it says by itself what it takes
        return []
    chain = unbound(chain)
    if isinstance(chain, RunnableAssign):
        return [chain.mapper]
    if not isinstance(chain, RunnableSequence):
        return []
    first = first_of(chain)
    before = [unbound(step) for step in takewhile(lambda step: step is not first, chain.steps)]
    before += [unbound(first)] if first is chain.first else []
    return [step.mapper for step in before if isinstance(step, RunnableAssign)]


def last_steps(chain: Runnable[Any, Any]) -> list[Runnable[Any, Any]]:
    """The last steps of a chain, one for each way through it."""
    if isinstance(chain, RunnableSequence):
        return last_steps(chain.last)
    return [step for way in ways(chain) for step in last_steps(way)] or [chain]


def has_fallbacks(chain: Runnable[Any, Any]) -> bool:
    """True if another part of a chain takes the place of one that fails."""
    return any(isinstance(step, RunnableWithFallbacks) for step in steps(chain))


def ends_in_graph(chain: Runnable[Any, Any]) -> bool:
    """True if a chain gives what a graph gives, whichever way it goes."""
    return all(is_graph(step) for step in last_steps(chain))


def answering_step(chain: Runnable[Any, Any]) -> int | None:
    """The number of the sequence's step with the answering model, from 1; 0 where the chain is no sequence but shows
    its model; None where it shows none.
    """
    chain = unbound(chain)
    if not isinstance(chain, RunnableSequence):
        return 0 if isinstance(chain, BaseLanguageModel | RunnableParallel) and has_model(chain) else None
    with_model = [number for number, step in enumerate(chain.steps, 1) if has_model(step)]
    return with_model[-1] if with_model else None


def answer_key(chain: Runnable[Any, Any], names: Sequence[str]) -> tuple[str | None, Collection[str]]:
    """The key of a chain's dict that is one of these names, and the keys that other steps put beside it.

    None where the last steps of the chain show no such key.
    """
    chain = unbound(chain)
    put: list[Collection[str]] = []  # by each of the last steps, the last one first
    for step in map(unbound, reversed(chain.steps if isinstance(chain, RunnableSequence) else ())):
        if isinstance(step, RunnableAssign):
            put.append(step.mapper.steps__)
            continue
        put += [step.steps__] if isinstance(step, RunnableParallel) else []
        break
    for keys in put:
        if (key := next((name for name in names if name in keys), None)) is not None:
            return key, {each for others in put for each in others} - {*keys}
    return None, ()


def has_model(chain: Runnable[Any, Any]) -> bool:
    """True if a chain shows a model among its parts."""
    return any(isinstance(step, BaseLanguageModel) for step in steps(chain))


def steps(chain: Runnable[Any, Any]) -> list[Runnable[Any, Any]]:
    """The chain and all its parts, as far as LangChain's own composites show them."""
    return [chain, *(step for part in parts(chain) for step in steps(part))]


def parts(chain: Runnable[Any, Any]) -> list[Runnable[Any, Any]]:
    """The parts that a chain is made of, without theirs."""
    inner = getattr(chain, "steps", None) or getattr(chain, "steps__", None) or getattr(chain, "mapper", None) or ()
    if isinstance(chain, RunnableEachBase):
        inner = chain.bound
    found = inner.values() if isinstance(inner, Mapping) else inner if isinstance(inner, list) else [inner]
    return [part for part in [*ways(chain), *found] if isinstance(part, Runnable)]


def sync_parts(chain: Runnable[Any, Any]) -> list[str]:
    """The names of parts that can't be cancelled: sync functions, which run on in their thread after a stop."""
    return _sync_parts.get(chain)


# Looking at all steps of a chain takes as long as much of what else there is to do before a question is on its way.
_sync_parts = ByChain(lambda chain: [step.get_name() for step in steps(chain) if _is_sync(step)])


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
    return _own_name(_named.get(chain)) or chain.get_name()


def _own_name(step: Runnable[Any, Any]) -> str | None:
    name = getattr(step, "model", None) or getattr(step, "model_name", None)
    return name if isinstance(name, str) else None


# The step and not its name, which may change.
_named = ByChain(lambda chain: next(filter(_own_name, steps(chain)), chain))


def is_sync_only(chain: Runnable[Any, Any]) -> bool:
    """True if a chain holds a sync generator, which LangChain can't stream from async code."""
    return _sync_only.get(chain)


_sync_only = ByChain(
    lambda chain: any(isinstance(step, RunnableGenerator) and not hasattr(step, "_atransform") for step in steps(chain))
)


def gives_whole(chain: Runnable[Any, Any]) -> bool:
    """True if what a chain streams, joined, is what it gives when it is invoked, and no model of it streams."""
    if type(chain) in (RunnableSequence, RunnableParallel, RunnableAssign, RunnableBinding):
        return all(map(gives_whole, parts(chain)))
    if type(chain) is RunnableLambda:  # streams what the chain yields that its function may give back
        function = getattr(chain, "func", None) or chain.afunc
        return not (chain.deps or isgeneratorfunction(function) or isasyncgenfunction(function))
    own, base = type(chain), Runnable
    return own is RunnablePassthrough or (own.astream is base.astream and own.atransform is base.atransform)


def is_cumulative(chain: Runnable[Any, Any]) -> bool:
    """True if each item that a chain yields replaces the one before, as the items of JSON parsers do."""
    return any(isinstance(step, BaseCumulativeTransformOutputParser) for step in last_steps(chain))


def final_parser(chain: Runnable[Any, Any]) -> BaseCumulativeTransformOutputParser[Any] | None:
    """The parser that reads a model's answer as the last step of a sequence; None where there is no such step."""
    chain = unbound(chain)
    if not isinstance(chain, RunnableSequence) or len(chain.steps) < 2 or not has_model(chain.steps[-2]):
        return None
    return chain.last if isinstance(chain.last, BaseCumulativeTransformOutputParser) else None


def second_step(chain: Runnable[Any, Any]) -> Runnable[Any, Any] | None:
    """The step behind the first one of a sequence that does more than to hand on its input; None for another chain."""
    if not isinstance(chain, RunnableSequence):
        return next(filter(None, map(second_step, ways(chain))), None)
    behind = chain.steps[chain.steps.index(first_of(chain)) + 1 :]
    return first_step(behind[0]) if behind else None


def is_classic(chain: Runnable[Any, Any]) -> bool:
    """True if a chain is one of `langchain_classic`'s; found out without importing that."""
    classes = type(unbound(chain)).__mro__
    return any(cls.__name__ == "Chain" and cls.__module__.startswith("langchain") for cls in classes)


def has_memory(chain: Runnable[Any, Any]) -> bool:
    """True if an old chain has a memory of its own, which all callers would share."""
    return is_classic(chain) and getattr(unbound(chain), "memory", None) is not None


def is_graph(chain: Runnable[Any, Any]) -> bool:
    """True if a chain is a LangGraph graph; found out without importing LangGraph."""
    chain = unbound(chain)
    return any(cls.__name__ == "Pregel" for cls in type(chain).__mro__)
