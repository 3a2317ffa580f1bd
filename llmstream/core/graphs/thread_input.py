"""The thread of a graph before a run: what in a conversation is new to it, and what it waits for.

Read from LangGraph 1.2: `aget_state(config)` with `values`, `interrupts` and `config`, `aget_state_history(config)`,
`Command(resume={id: value})`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import Runnable
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.config import RunnableConfig, merge_configs

from llmstream.core.chains.inspection import unbound
from llmstream.core.graphs.state import said_in, said_key
from llmstream.core.message_content import messages_in, text_of
from llmstream.core.running.guard import chain_failed
from llmstream.errors import InvalidRequest
from llmstream.events import Interrupt

# What is asked where a graph stops by `interrupt_before` or `interrupt_after`, and asks nothing itself.
BREAKPOINT = Interrupt(id="breakpoint", value="Go on? Answer yes to do so.")
_YES = ("yes", "y", "approve", "ok")


class Thread:
    """The state of a graph's thread before a run."""

    def __init__(self, graph: Any, config: Mapping[str, Any]) -> None:
        self._graph: Any = unbound(graph)
        self._config = config
        self._bound: Any = merge_configs(*_configs(graph), config)  # type: ignore[arg-type]

    async def new_messages(self, messages: Sequence[BaseMessage]) -> tuple[list[BaseMessage], Mapping[str, Any]]:
        """The messages that the thread lacks, and where to go on from: the thread's end, or a point before it.

        A conversation that leaves out what the thread has goes on from where the two part: an answer is asked for
        again, or an earlier question was changed. Raises `InvalidRequest` where the thread has no such point.
        """
        state = await self.state()
        have = _conversation(state.values)
        if not have or len(messages) == 1 or self._is_replaced(said_key(state.values)):
            return list(messages), self._config
        given = [_key(message) for message in messages]
        common, known = _common(have, given[:-1])
        if common == len(have):
            return list(messages[known:]), self._config
        async for earlier in self._graph.aget_state_history(self._bound):
            before = _conversation(earlier.values)
            if before == have[: len(before)] and len(before) == common and not earlier.next[1:]:
                return list(messages[known:]), earlier.config
        raise InvalidRequest(
            "This conversation leaves out what its thread has, and the thread has no point to go on from. "
            "Ask on a new thread."
        )

    def _is_replaced(self, key: str | None) -> bool:
        """True if what is given takes the place of what the thread has: its key of the state has no reducer."""
        return type(self._graph.channels.get(key)).__name__ == "LastValue"

    async def waits_for(self) -> set[str]:
        """The ids of the interrupts that the thread waits for, that of a breakpoint among them."""
        state = await self.state()
        return {each.id for each in state.interrupts} or ({BREAKPOINT["id"]} if state.next else set())

    async def said(self) -> Collection[str]:
        """The ids of the messages that the thread has, those of a step that is not over yet among them."""
        return {str(message.id) for message in messages_in((await self.state()).values) if message.id}

    async def resumed(self, answers: Mapping[str, Any]) -> Any:
        """The graph's input for the answers to what it waits for; raises `InvalidRequest` unless they are all there."""
        waiting = await self.waits_for()
        if waiting == {BREAKPOINT["id"]}:
            return _beyond_breakpoint(answers)
        if not waiting:
            raise InvalidRequest("This thread waits for no answer. Ask a question instead of `resume`.")
        if waiting != set(answers):
            raise InvalidRequest(f"`resume` takes an answer for each of {', '.join(sorted(waiting))}, and no others.")
        from langgraph.types import Command

        return Command(resume=dict(answers))

    async def state(self) -> Any:
        """The state that the graph keeps of the thread; raises the error that its saver's failure comes to."""
        try:
            return await self._graph.aget_state(self._bound)
        except NotImplementedError as error:  # of a saver for sync code; what it says names the one for async code
            raise InvalidRequest(
                f"The graph's checkpointer can't be used here. {str(error).splitlines()[0]}"
            ) from error
        except Exception as error:
            raise chain_failed(error) from error


def _configs(graph: Runnable[Any, Any]) -> Iterator[RunnableConfig]:
    """The configs that are bound to a graph, the innermost first: one further out takes its place."""
    if isinstance(graph, RunnableBindingBase):
        yield from _configs(graph.bound)
        yield graph.config


def _beyond_breakpoint(answers: Mapping[str, Any]) -> None:
    """The input of a graph that stands at a breakpoint and goes on: none. Raises `InvalidRequest` unless it shall."""
    answer = answers.get(BREAKPOINT["id"])
    if len(answers) != 1 or (answer is not True and str(answer).strip().lower() not in _YES):
        raise InvalidRequest('This thread stands at a breakpoint, and goes on by `resume={"breakpoint": "yes"}`.')


def _conversation(values: Any) -> list[tuple[str, str]]:
    """The messages between a person and the graph, without those between; the speaker of a graph's human message is "".

    A graph gives a human message the name of its node, and clients know it as a part of the answer.
    """
    said = [each for each in [*_answered(said_in(values))][::-1] if text_of(each).strip()]
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
