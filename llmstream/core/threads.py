"""The thread of a chain that remembers: whose it is, what in a conversation is new to it, and what it waits for.

Read from LangGraph 1.2: `graph.checkpointer` (None, True for a subgraph, or a saver), `aget_state(config)` with
`values`, `interrupts` and `config`, `aget_state_history(config)`, `Command(resume={id: value})`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable
from langchain_core.runnables.base import RunnableBindingBase

from llmstream.core.anatomy import is_graph, unbound
from llmstream.core.reader import text_of
from llmstream.errors import InvalidRequest


def thread_id(thread: str | None, caller: str) -> str:
    """The id under which a chain keeps a caller's thread, so that nobody reaches another's; a fresh one for None."""
    name = (thread or uuid.uuid4().hex).replace("%", "%25").replace("/", "%2F")
    return f"{caller.replace('%', '%25').replace('/', '%2F')}/{name}" if caller else name


def thread_config(chain: Runnable[Any, Any], id: str) -> dict[str, Any]:
    """The config that names the thread to LangChain; empty for a chain that remembers nothing.

    What somebody has bound himself (`with_config`) stays.
    """
    bound: dict[str, Any] = {}
    while isinstance(chain, RunnableBindingBase):
        bound = {**chain.config.get("configurable", {}), **bound}
        if type(chain).__name__ == "RunnableWithMessageHistory":
            break
        chain = chain.bound
    names = _names(chain)
    configurable = {name: id for name in names if name not in bound}
    return {"configurable": configurable} if configurable else {}


def _names(chain: Runnable[Any, Any]) -> list[str]:
    if is_graph(chain):
        return ["thread_id"] if remembers(chain) else []
    history = getattr(chain, "history_factory_config", None)
    return [spec.id for spec in history] if history else []


def remembers(chain: Runnable[Any, Any]) -> bool:
    """True if a chain is a graph that keeps its threads."""
    chain = unbound(chain)
    return is_graph(chain) and getattr(chain, "checkpointer", None) not in (None, False, True)


class Thread:
    """The state of a graph's thread before a run."""

    def __init__(self, graph: Any, config: Mapping[str, Any]) -> None:
        self._graph = graph
        self._config = config

    async def new_messages(self, messages: Sequence[BaseMessage]) -> tuple[list[BaseMessage], Mapping[str, Any]]:
        """The messages that the thread lacks, and where to go on from: the thread's end, or a point before it.

        A conversation that leaves out what the thread has goes on from where the two part: an answer is asked for
        again, or an earlier question was changed. Raises `InvalidRequest` where the thread has no such point.
        """
        state = await self._graph.aget_state(self._config)
        have = _conversation(state.values)
        if not have or len(messages) == 1:
            return list(messages), self._config
        given = [_key(message) for message in messages]
        common, known = _common(have, given[:-1])
        if common == len(have):
            return list(messages[known:]), self._config
        async for earlier in self._graph.aget_state_history(self._config):
            before = _conversation(earlier.values)
            if before == have[: len(before)] and len(before) == common and not earlier.next[1:]:
                return list(messages[known:]), earlier.config
        raise InvalidRequest(
            "This conversation leaves out what its thread has, and the thread has no point to go on from. "
            "Ask on a new thread."
        )

    async def resumed(self, answers: Mapping[str, Any]) -> Any:
        """The graph's input for the answers to what it waits for; raises `InvalidRequest` unless they are all there."""
        state = await self._graph.aget_state(self._config)
        waiting = {interrupt.id for interrupt in state.interrupts}
        if not waiting:
            raise InvalidRequest("This thread waits for no answer. Ask a question instead of `resume`.")
        if waiting != set(answers):
            raise InvalidRequest(f"`resume` takes an answer for each of {', '.join(sorted(waiting))}, and no others.")
        from langgraph.types import Command

        return Command(resume=dict(answers))


def _conversation(values: Any) -> list[tuple[str, str]]:
    """The messages between a person and the graph, without those between; the speaker of a graph's human message is "".

    A graph gives a human message the name of its node, and clients know it as a part of the answer.
    """
    messages = values.get("messages", ()) if isinstance(values, Mapping) else ()
    said = [each for each in messages if isinstance(each, HumanMessage | AIMessage) and text_of(each).strip()]
    return [("" if isinstance(each, HumanMessage) and each.name else each.type, _key(each)[1]) for each in said]


def _key(message: BaseMessage) -> tuple[str, str]:
    """The speaker and the text without its spaces: clients join the messages of an answer with spaces of their own."""
    return message.type, "".join(text_of(message).split())


def _common(have: Sequence[tuple[str, str]], given: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """The number of the thread's and of the given messages that are the same conversation."""
    place, count = 0, 0
    for number, key in enumerate(given, 1):
        if (behind := _behind(have, key, place)) is not None:
            place, count = behind, number
        elif key[0] in ("human", "ai") and key[1]:
            break
    return place, count


def _behind(have: Sequence[tuple[str, str]], key: tuple[str, str], place: int) -> int | None:
    """The place behind what a given message repeats: a message of the thread, or several that an answer was made of."""
    for start in range(place, len(have)):
        text = ""
        for end in range(start, len(have)):
            text += have[end][1]
            if have[end][0] not in (key[0], "") or not key[1].startswith(text):
                break
            if text == key[1]:
                return end + 1
    return None
