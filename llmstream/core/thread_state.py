"""The state that a graph keeps of a thread, for clients: its messages, and the interrupts it waits for.

Read from LangGraph 1.2: `aget_state(config)` with `values`, `next` and `interrupts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage

from llmstream.core.generator import as_runnable
from llmstream.core.graphs.state import said_in
from llmstream.core.graphs.thread_input import Thread
from llmstream.core.graphs.thread_owners import keepers, takes_only_news, thread_config
from llmstream.core.running.guard import chain_failed
from llmstream.errors import InvalidRequest
from llmstream.events import Interrupt, json_value

# What a client shows of a message, or sends back with it.
_FIELDS = ("type", "id", "name", "content", "tool_calls", "tool_call_id")


@dataclass(frozen=True)
class ThreadState:
    """A thread: its messages as dicts in LangChain's form, and what a person is asked."""

    messages: Sequence[Mapping[str, Any]]
    interrupts: Sequence[Interrupt] = ()


def remembers_conversations(chain: object) -> bool:
    """True if a chain is asked only what is new in a conversation; None is the default chain, which is asked all."""
    return chain is not None and takes_only_news(as_runnable(chain))


async def thread_state(chain: object, thread: str, caller: str) -> ThreadState | None:
    """A caller's thread as the chain's graph keeps it; None for a chain that keeps none, and for a thread it lacks.

    Raises `ChainFailed` where the graph can't tell.
    """
    runnable = None if chain is None else as_runnable(chain)
    graphs = [] if runnable is None else keepers(runnable)
    if runnable is None or not graphs:
        return None
    config = thread_config(runnable, thread, caller)
    try:
        states = [await Thread(graph, config).state() for graph in graphs]
    except InvalidRequest as error:
        raise chain_failed(error) from error
    state = max(states, key=lambda each: (bool(each.interrupts), bool(each.values)))
    messages = said_in(state.values)
    if not messages:
        return None
    asked = [Interrupt(id=each.id, value=json_value(each.value)) for each in state.interrupts]
    return ThreadState([_told(each) for each in messages], asked)


def _told(message: BaseMessage) -> dict[str, Any]:
    fields = message.model_dump()
    return {name: json_value(fields[name]) for name in _FIELDS if fields.get(name) not in (None, [])}
