"""The threads of a chain that remembers: whose they are, and which of its graphs keep them.

Read from LangGraph 1.2: `graph.checkpointer` (None, True for a subgraph, or a saver).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import (
    Runnable,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
    RunnableSequence,
)
from langchain_core.runnables.base import RunnableBindingBase

from llmstream.core.chains.chain_cache import ByChain
from llmstream.core.chains.copies import copied
from llmstream.core.chains.inspection import first_of, is_graph, steps, unbound, ways
from llmstream.core.graphs.thread_input import Thread


def _thread_id(thread: str | None, caller: str) -> str:
    """The id under which a chain keeps a caller's thread, so that nobody reaches another's; a fresh one for None."""
    name = (thread or uuid.uuid4().hex).replace("%", "%25").replace("/", "%2F")
    return f"{caller.replace('%', '%25').replace('/', '%2F')}/{name}" if caller else name


def thread_config(chain: Runnable[Any, Any], thread: str | None, caller: str) -> dict[str, Any]:
    """The config that names a caller's thread to LangChain; empty for a chain that remembers nothing.

    It reaches every part of the chain. What somebody has bound himself (`with_config`) stays. thread: None begins one.
    """
    names = _memory.get(chain).names
    return {"configurable": dict.fromkeys(names, _thread_id(thread, caller))} if names else {}


@dataclass(frozen=True)
class _Memory:
    """The memory of a chain.

    names: of the ids of all that remembers in it. graph: the one that the chain begins with, where it is the only one.
    is_first: whether the chain begins with anything that remembers. Neither of a mixed one, which is given all.
    """

    names: Sequence[str]
    graph: Runnable[Any, Any] | None
    is_first: bool


def _memory_of(chain: Runnable[Any, Any]) -> _Memory:
    parts = [*steps(chain), *_hidden(chain)]
    bindings = [part for part in parts if isinstance(part, RunnableBindingBase)]
    bound = {name for binding in bindings for name in binding.config.get("configurable", {})}
    graphs = [part for part in parts if remembers(part) and not isinstance(part, RunnableBindingBase)]
    first = [] if is_mixed(chain) else _graphs_at(chain, asked_first)
    return _Memory(
        names=[name for part in parts for name in _names(part) if name not in bound],
        graph=first[0] if len(first) == len(graphs) == 1 else None,
        is_first=bool(first) or _begins_with_history(chain),
    )


def is_mixed(chain: Runnable[Any, Any]) -> bool:
    """True if a chain begins with ways of which some remember the conversation, and some do not."""
    if isinstance(chain, RunnableSequence):
        return is_mixed(asked_first(chain))
    choices = ways(chain)
    return any(map(is_mixed, choices)) or len({takes_only_news(way) for way in choices}) > 1


def _hidden(chain: Runnable[Any, Any]) -> list[Runnable[Any, Any]]:
    """The parts of the chains that functions inside a chain refer to."""
    functions = [part for part in steps(chain) if isinstance(part, RunnableLambda)]
    return [part for function in functions for referred in function.deps for part in steps(referred)]


# Looking at a chain takes longer than all else there is to do before a question is on its way.
_memory = ByChain(_memory_of)


def _names(part: Runnable[Any, Any]) -> list[str]:
    if remembers(part):
        return ["thread_id"]
    return [spec.id for spec in getattr(part, "history_factory_config", None) or ()]


def remembers(chain: Runnable[Any, Any]) -> bool:
    """True if a chain is a graph that keeps its threads."""
    chain = unbound(chain)
    return is_graph(chain) and getattr(chain, "checkpointer", None) not in (None, False, True)


def _graphs_at(chain: Runnable[Any, Any], place: Callable[[Any], Runnable[Any, Any]]) -> list[Runnable[Any, Any]]:
    """The graphs at a place of a chain that keep their threads, each with what is bound to it."""
    if isinstance(chain, RunnableSequence):
        return _graphs_at(place(chain), place)
    if isinstance(chain, RunnableBindingBase):
        is_part = isinstance(unbound(chain), RunnableSequence)
        kwargs = {} if is_part else chain.kwargs  # those of a sequence go to its first step
        return [copied(chain, bound=graph, kwargs=kwargs) for graph in _graphs_at(chain.bound, place)]
    if remembers(chain):
        return [chain]
    return [graph for way in ways(chain) for graph in _graphs_at(way, place)]


def asked_first(sequence: RunnableSequence[Any, Any]) -> Runnable[Any, Any]:
    """The first step of a sequence that does more than to hand on the messages, be it under their key."""
    first = first_of(sequence)
    following = sequence.steps[sequence.steps.index(first) :]
    return next((step for step in following if not _only_wraps_messages(step)), first)


def _only_wraps_messages(step: Runnable[Any, Any]) -> bool:
    step = unbound(step)
    return isinstance(step, RunnableParallel) and isinstance(step.steps__.get("messages"), RunnablePassthrough)


def keepers(chain: Runnable[Any, Any]) -> list[Runnable[Any, Any]]:
    """The graphs that keep a chain's threads: the one it begins with, or those at its end."""
    first = _memory.get(chain).graph
    return [first] if first is not None else _graphs_at(chain, lambda sequence: sequence.last)


async def asking_graph(
    chain: Runnable[Any, Any], answers: Collection[str], config: Mapping[str, Any]
) -> Runnable[Any, Any] | None:
    """The graph at a chain's end that goes on with answers to these interrupts: what stands around it has run, or
    chosen it. None where no graph there keeps its threads.
    """
    graphs = _graphs_at(chain, lambda sequence: sequence.last)
    waiting = {place: await Thread(graph, config).waits_for() for place, graph in enumerate(graphs)}
    asked = [graphs[place] for place, ids in waiting.items() if not ids.isdisjoint(answers)]
    return next(iter([*asked, *(graphs[place] for place, ids in waiting.items() if ids), *graphs]), None)


def takes_only_news(chain: Runnable[Any, Any]) -> bool:
    """True if a chain begins with a step that remembers the conversation, and so is asked only what is new in it."""
    memory = _memory.get(chain)
    return memory.graph is not None or memory.is_first


def _begins_with_history(chain: Runnable[Any, Any]) -> bool:
    while isinstance(chain, RunnableSequence):
        chain = first_of(chain)
    return hasattr(chain, "history_factory_config")


async def new_messages(
    chain: Runnable[Any, Any], messages: Sequence[BaseMessage], config: Mapping[str, Any]
) -> tuple[Sequence[BaseMessage], Mapping[str, Any]]:
    """The new messages of a conversation, for a chain that begins with what remembers it; and where to go on.

    Of several graphs, or behind a history, what is new is what was said after the last answer.
    """
    memory = _memory.get(chain)
    if memory.graph is not None:
        return await Thread(memory.graph, config).new_messages(messages)
    if not memory.is_first:
        return messages, config
    answers = [place for place, message in enumerate(messages[:-1]) if isinstance(message, AIMessage)]
    return messages[answers[-1] + 1 if answers else 0 :], config
