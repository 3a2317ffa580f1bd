"""Chains of which only some ways remember a conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableBranch, RunnableLambda, RunnablePassthrough
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from tests.support.scripted_model import see


def plain(value: Any) -> str:
    """A way that remembers nothing: it says what it is given."""
    return " + ".join(str(message.content) for message in value["messages"])


def failing(saver: Any) -> Any:
    """A graph that remembers, and fails at the word "break"."""

    async def node(state: MessagesState) -> Any:
        if state["messages"][-1].content == "break":
            raise ValueError("broken")
        return {"messages": [AIMessage(" | ".join(str(message.content) for message in state["messages"]))]}

    return StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile(checkpointer=saver)


@pytest.mark.parametrize(
    "around",
    [
        lambda graph: graph.with_fallbacks([RunnableLambda(plain)]),
        lambda graph: RunnableBranch(
            (lambda asked: asked["messages"][-1].content == "break", RunnableLambda(plain)), graph
        ),
        lambda graph: RunnablePassthrough() | graph.with_config(tags=["mine"]).with_fallbacks([RunnableLambda(plain)]),
        lambda graph: (
            RunnableBranch((lambda asked: asked["messages"][-1].content == "break", RunnableLambda(plain)), graph)
            | RunnablePassthrough()
        ),
        lambda graph: RunnablePassthrough.assign(n=len) | graph.with_fallbacks([RunnableLambda(plain)]),
    ],
)
async def test_only_one_way_remembers(around: Callable[[Any], Any]) -> None:
    """The way that remembers takes what is new, and the other one, on the same thread, the whole conversation."""
    chain = around(failing(InMemorySaver()))
    said = [("user", "q1")]
    assert "q1" == (await see(chain, said, thread="t")).text
    said += [("assistant", "q1"), ("user", "q2")]
    assert "q1 | q1 | q2" == (await see(chain, said, thread="t")).text
    said += [("assistant", "q1 | q1 | q2"), ("user", "break")]
    assert " + ".join(text for _, text in said) == (await see(chain, said, thread="t")).text
