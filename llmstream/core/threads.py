"""The thread of a chain that remembers: whose it is, what in a conversation is new to it, and what it waits for.

Read from LangGraph 1.2: `graph.checkpointer` (None, True for a subgraph, or a saver), `aget_state(config)` with
`values`, `interrupts` and `config`, `aget_state_history(config)`, `Command(resume={id: value})`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import Runnable, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.config import RunnableConfig, merge_configs

from llmstream.core.inspection import ByChain, first_step, is_graph, steps, unbound
from llmstream.core.reader import text_of
from llmstream.core.run_guard import chain_failed
from llmstream.errors import InvalidRequest
from llmstream.events import Interrupt

# What is asked where a graph stops by `interrupt_before` or `interrupt_after`, and asks nothing itself.
BREAKPOINT = Interrupt(id="breakpoint", value="Go on? Answer yes to do so.")
_YES = ("yes", "y", "approve", "ok")


def thread_id(thread: str | None, caller: str) -> str:
    """The id under which a chain keeps a caller's thread, so that nobody reaches another's; a fresh one for None."""
    name = (thread or uuid.uuid4().hex).replace("%", "%25").replace("/", "%2F")
    return f"{caller.replace('%', '%25').replace('/', '%2F')}/{name}" if caller else name


def thread_config(chain: Runnable[Any, Any], id: str) -> dict[str, Any]:
    """The config that names the thread to LangChain; empty for a chain that remembers nothing.

    It reaches every part of the chain. What somebody has bound himself (`with_config`) stays.
    """
    names = _memory.get(chain).names
    return {"configurable": dict.fromkeys(names, id)} if names else {}


@dataclass(frozen=True)
class _Memory:
    """The memory of a chain.

    names: of the ids of all that remembers in it. graph: the one that the chain begins with, where it is the only one.
    is_first: whether the chain begins with anything that remembers.
    """

    names: Sequence[str]
    graph: Runnable[Any, Any] | None
    is_first: bool


def _memory_of(chain: Runnable[Any, Any]) -> _Memory:
    parts, first = steps(chain), first_step(chain)
    bindings = [part for part in parts if isinstance(part, RunnableBindingBase)]
    bound = {name for binding in bindings for name in binding.config.get("configurable", {})}
    graphs = [part for part in parts if remembers(part) and not isinstance(part, RunnableBindingBase)]
    return _Memory(
        names=[name for part in parts for name in _names(part) if name not in bound],
        graph=chain if remembers(chain) else first if graphs == [first] else None,
        is_first=remembers(first) or _begins_with_history(chain),
    )


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


def asking_graph(chain: Runnable[Any, Any]) -> Runnable[Any, Any] | None:
    """The graph at a chain's end that keeps its threads, and so can wait for an answer of a person."""
    config: RunnableConfig = {}
    while not remembers(chain):
        if isinstance(chain, RunnableSequence):
            chain = chain.last
        elif isinstance(chain, RunnableBindingBase):  # what it binds, such as a thread, holds for the graph too
            config, chain = merge_configs(config, chain.config), chain.bound
        else:
            return None
    return chain.with_config(config) if config else chain


def kept_by(chain: Runnable[Any, Any]) -> Runnable[Any, Any] | None:
    """The graph that keeps a chain's threads: the one it begins with, or the one at its end."""
    return _memory.get(chain).graph or asking_graph(chain)


def takes_only_news(chain: Runnable[Any, Any]) -> bool:
    """True if a chain begins with a step that remembers the conversation, and so is asked only what is new in it."""
    memory = _memory.get(chain)
    return memory.graph is not None or memory.is_first


def _begins_with_history(chain: Runnable[Any, Any]) -> bool:
    while isinstance(chain, RunnableSequence):
        chain = chain.first
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
        state = await self._state()
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
        state = await self._state()
        waiting = {interrupt.id for interrupt in state.interrupts}
        if state.next and not waiting:
            return _beyond_breakpoint(answers)
        if not waiting:
            raise InvalidRequest("This thread waits for no answer. Ask a question instead of `resume`.")
        if waiting != set(answers):
            raise InvalidRequest(f"`resume` takes an answer for each of {', '.join(sorted(waiting))}, and no others.")
        from langgraph.types import Command

        return Command(resume=dict(answers))

    async def _state(self) -> Any:
        try:
            return await self._graph.aget_state(self._config)
        except NotImplementedError as error:  # of a saver for sync code; what it says names the one for async code
            raise InvalidRequest(
                f"The graph's checkpointer can't be used here. {str(error).splitlines()[0]}"
            ) from error
        except Exception as error:
            raise chain_failed(error) from error


def _beyond_breakpoint(answers: Mapping[str, Any]) -> None:
    """The input of a graph that stands at a breakpoint and goes on: none. Raises `InvalidRequest` unless it shall."""
    answer = answers.get(BREAKPOINT["id"])
    if len(answers) != 1 or (answer is not True and str(answer).strip().lower() not in _YES):
        raise InvalidRequest('This thread stands at a breakpoint, and goes on by `resume={"breakpoint": "yes"}`.')


def _conversation(values: Any) -> list[tuple[str, str]]:
    """The messages between a person and the graph, without those between; the speaker of a graph's human message is "".

    A graph gives a human message the name of its node, and clients know it as a part of the answer.
    """
    messages = values.get("messages", ()) if isinstance(values, Mapping) else ()
    said = [each for each in [*_answered(messages)][::-1] if text_of(each).strip()]
    return [("" if isinstance(each, HumanMessage) and each.name else each.type, _key(each)[1]) for each in said]


def _answered(messages: Sequence[BaseMessage]) -> Iterator[BaseMessage]:
    """The messages of a person and of the graph, with the results of tools that ended an answer as such."""
    follows: BaseMessage | None = None
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            follows = message
        elif follows is None or isinstance(follows, HumanMessage):
            yield AIMessage(text_of(message))
        if isinstance(message, HumanMessage | AIMessage):
            yield message


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
