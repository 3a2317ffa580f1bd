"""Small LangGraph graphs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from tests.support.scripted_model import says


def line(state: Any, *nodes: Any) -> Any:
    """A graph of nodes one after the other."""
    graph = StateGraph(state)
    for node in nodes:
        graph.add_node(node.__name__, node)
    for source, target in pairwise([START, *(node.__name__ for node in nodes), END]):
        graph.add_edge(source, target)
    return graph.compile()


def node_that_says(text: str | AIMessage, name: str = "answer") -> Any:
    """A node whose model says something, and which returns what it said."""

    async def node(state: MessagesState) -> Any:
        return {"messages": [await says(text).ainvoke(state["messages"])]}

    node.__name__ = name
    return node
