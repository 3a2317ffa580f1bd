"""The answer where graphs, tasks and functions run inside a graph's node: none of their steps is shown for its word."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.pregel.remote import RemoteGraph

from tests.support.graphs import line, node_that_says
from tests.support.scripted_model import says, see


class Noted(MessagesState):
    """A conversation, and what a step of a subgraph writes down for the next one."""

    notes: str


async def note(state: Noted) -> Any:
    """A step whose words are for the next one."""
    return {"notes": (await says("Some notes.").ainvoke("q")).content}


def inside(graph: Any) -> Any:
    """A graph as the only node of another one."""
    return StateGraph(MessagesState).add_node("agent", graph).add_edge(START, "agent").add_edge("agent", END).compile()


def in_function(graph: Any) -> Any:
    """A graph that a node runs for its last message."""

    async def agent(state: MessagesState) -> Any:
        return {"messages": [(await graph.ainvoke(state))["messages"][-1]]}

    return line(MessagesState, agent)


@pytest.mark.parametrize("first", [note, node_that_says("Step one.", "first")], ids=["notes", "a message"])
@pytest.mark.parametrize("put", [in_function, lambda graph: inside(in_function(graph))], ids=["once", "twice"])
async def test_a_step_of_a_subgraph_that_goes_on_is_not_shown(first: Any, put: Any) -> None:
    """What the node keeps is the last word, which streams where nothing before it may be kept as well."""
    seen = await see(put(line(Noted, first, node_that_says("The final text."))))
    assert ("The final text.", "The final text.", 0) == (seen.text, seen.shown, seen.withdrawn)


async def test_messages_of_a_subgraph_are_told_in_their_order() -> None:
    """Each once, though all but the last are held back."""
    steps = [node_that_says(text, name) for name, text in (("a", "Step one."), ("b", "Step two."), ("c", "The end."))]
    seen = await see(inside(line(MessagesState, *steps)))
    assert ("Step one.\n\nStep two.\n\nThe end.", 0) == (seen.text, seen.withdrawn)


async def test_an_agent_inside_a_graph_whose_middleware_rewrites() -> None:
    """What the model said before is never shown."""

    class Guard(AgentMiddleware):
        def after_model(self, state: Any, runtime: Any) -> Any:
            return {"messages": [AIMessage("[redacted]", id=state["messages"][-1].id)]}

    seen = await see(inside(create_agent(says("the secret"), [], middleware=[Guard()])))
    assert ("[redacted]", "[redacted]") == (seen.text, seen.shown)


@task
async def draft() -> str:
    """A step of a function."""
    return str((await says("A poor draft.").ainvoke("q")).content)


@task
async def improve(text: str) -> str:
    """The next one."""
    return str((await says("A good text.").ainvoke(text)).content)


@entrypoint()
async def write(question: str) -> str:
    """A function of LangGraph's functional API."""
    await draft()
    return str((await says("A good text.").ainvoke("q")).content)


async def by_tasks() -> str:
    """The same by a node's own hand."""
    return str(await improve(await draft()))


@pytest.mark.parametrize("run", [by_tasks, lambda: write.ainvoke("q")], ids=["tasks", "a function"])
async def test_tasks_that_a_node_runs(run: Any) -> None:
    """They work for the node, which says what it makes of their texts."""

    async def answer(state: MessagesState) -> Any:
        return {"messages": [AIMessage(await run())]}

    seen = await see(line(MessagesState, answer))
    assert ("A good text.", "A good text.") == (seen.text, seen.shown)


async def test_a_graph_of_another_server_inside() -> None:
    """It shows no nodes, and those beside it answer as ever."""
    graph = StateGraph(MessagesState).add_node("answer", node_that_says("It is blue."))
    graph.add_node("remote", RemoteGraph("agent", url="http://127.0.0.1:9"))
    graph.add_conditional_edges(START, lambda state: "answer", ["answer", "remote"])
    assert "It is blue." == (await see(graph.compile())).text
