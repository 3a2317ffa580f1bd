"""The conversation as a graph's state takes it: under which key, and what of it on a thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypedDict, get_origin

import pytest
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph, add_messages

from tests.support.scripted_model import see

ASKED = [HumanMessage("one"), AIMessage("two"), HumanMessage("three")]


def telling(state: Any, key: str, *, saver: Any = None) -> Any:
    """A graph that answers with what stands under a key."""
    answer_key = "answer" if "answer" in state.__annotations__ else key

    async def tell(given: Any) -> Any:
        said = given.get(key, [])
        text = said if isinstance(said, str) else " | ".join(each.content for each in said)
        answer = text if answer_key != key else [AIMessage(f"({text})")]
        keeps = answer_key == key and get_origin(state.__annotations__[key]) is not Annotated
        return {answer_key: [*said, *answer] if keeps else answer}

    graph: Any = StateGraph(state)
    return graph.add_node(tell).add_edge(START, "tell").compile(checkpointer=saver)


def state_of(**keys: Any) -> Any:
    """A state with these keys."""
    return TypedDict("state_of", keys)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("state", "key", "text"),
    [
        (state_of(conversation=Annotated[list, add_messages], summary=str), "conversation", "(one | two | three)"),
        (state_of(chat_history=Annotated[Sequence[BaseMessage], add_messages]), "chat_history", "(one | two | three)"),
        (state_of(talk=list[AnyMessage]), "talk", "(one | two | three)"),
        (state_of(question=str, chat_history=list[BaseMessage], answer=str), "chat_history", "one | two"),
        (state_of(question=str, chat_history=list[BaseMessage], answer=str), "question", "three"),
        (state_of(request=str, steps=Annotated[list, add_messages], answer=str), "request", "three"),
        (state_of(notes=list[str], topic=Annotated[str, lambda old, new: new], answer=str), "topic", "three"),
    ],
    ids=["a reducer", "a history alone", "a list", "beside a question", "a question", "a text first", "no messages"],
)  # fmt: skip
async def test_where_the_conversation_goes(state: Any, key: str, text: str) -> None:
    """To the state's messages, whatever their key; else the question to its first text, and the rest to its history."""
    assert text == (await see(telling(state, key), ASKED)).text


@pytest.mark.parametrize("key", ["messages", "conversation"])
@pytest.mark.parametrize("type_", [Annotated[list[AnyMessage], add_messages], list[AnyMessage]], ids=["added", "set"])
async def test_a_thread_knows_all_of_it(key: str, type_: Any) -> None:
    """A client that sends the whole conversation adds what is new where a reducer does, and else replaces it."""
    graph = telling(state_of(**{key: type_}), key, saver=InMemorySaver())
    first = (await see(graph, "one", thread="t")).text
    asked = [HumanMessage("one"), AIMessage(first), HumanMessage("two")]
    assert ("(one)", "(one | (one) | two)") == (first, (await see(graph, asked, thread="t")).text)
