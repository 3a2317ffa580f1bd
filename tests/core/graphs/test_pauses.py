"""Pauses of a graph in the middle of what it does: nothing of it is told twice, and nothing of its parts."""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from tests.support.graphs import node_that_says
from tests.support.scripted_model import asks, says, see, weather


async def test_a_tool_that_is_an_agent_with_tools() -> None:
    """Its calls and their results are its own affair, also where one of its tools asks a person."""

    @tool
    def person(question: str) -> str:
        """Ask a person."""
        return str(interrupt(question))

    inner: Any = create_agent(
        says(asks("weather", id="i1", city="Rome"), asks("person", id="i2", question="Sure?"), "18."), [weather, person]
    )

    @tool
    async def expert(question: str) -> str:
        """Ask an expert."""
        return str((await inner.ainvoke({"messages": [("user", question)]}))["messages"][-1].text)

    chain = create_agent(says(asks("expert", question="x"), "It is 18."), [expert], checkpointer=InMemorySaver())
    first = await see(chain, thread="t")
    assert (["Sure?"], [("c1", "expert")], []) == (
        [each["value"] for each in first.interrupts],
        first.calls,
        first.results,
    )
    seen = await see(chain, None, thread="t", resume={first.interrupts[0]["id"]: "yes"})
    assert ("It is 18.", [("c1", "expert")], [("c1", "18.")]) == (seen.text, seen.calls, seen.results)


async def test_what_was_said_beside_a_question_is_said_once() -> None:
    """A node that is over while another one asks has told its text; the run that goes on tells the rest."""

    async def ask(state: MessagesState) -> Any:
        return {"messages": [AIMessage(f"You said {interrupt('Sure?')}.")]}

    graph = StateGraph(MessagesState).add_node("beside", node_that_says("Beside.")).add_node(ask)
    chain: Any = graph.add_edge(START, "beside").add_edge(START, "ask").compile(checkpointer=InMemorySaver())
    first = await see(chain, thread="t")
    assert "Beside." == first.text
    assert "You said yes." == (await see(chain, None, thread="t", resume={first.interrupts[0]["id"]: "yes"})).text


async def test_a_function_that_returns_what_it_said_before_it_asked() -> None:
    """A draft and a person's word on it: neither is the answer before the other, and both are told."""

    @task
    async def write(topic: str) -> str:
        return str((await says("An essay.").ainvoke(topic)).content)

    @entrypoint(checkpointer=InMemorySaver())
    async def review(topic: str) -> Any:
        essay = await write(topic)
        return {"topic": topic, "essay": essay, "score": interrupt("How good is it?")}

    asked = await see(review, "cats", thread="t")
    seen = await see(review, "", thread="t", resume={asked.interrupts[0]["id"]: "good"})
    assert ("", {"topic": "cats", "essay": "An essay.", "score": "good"}) == (seen.text, seen.data)
