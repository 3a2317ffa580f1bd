"""Graphs as parts of chains: what follows one is given its final state, and what a chain ends in streams."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import (
    RunnableBranch,
    RunnableConfig,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from tests.support.graphs import line, node_that_says
from tests.support.scripted_model import asks, says, see, weather

ASK: Any = RunnableLambda(lambda question: {"messages": [HumanMessage(str(question))]})
LAST: Any = RunnableLambda(lambda state: state["messages"][-1].content)


def agent(*messages: Any, **arguments: Any) -> Any:
    """LangChain's agent, that says these messages."""
    return create_agent(says(*messages), [weather], **arguments)


def looks() -> Any:
    """An agent that calls a tool before it answers."""
    return agent(asks(text="Let me look.", city="Rome"), "It is warm.")


async def asks_an_agent(question: Any) -> Any:
    """A function that hands on what an agent comes to."""
    return await looks().ainvoke(ASK.invoke(question))


async def given_back(question: Any) -> Any:
    """A function that gives back a chain."""
    return ASK | looks()


async def fails(state: MessagesState) -> Any:
    """A node that fails."""
    await says("half an answer").ainvoke(state["messages"])
    raise ValueError("no")


@pytest.mark.parametrize(
    "make",
    [
        lambda: looks() | LAST,
        lambda: ASK | looks() | LAST,
        lambda: ASK | looks() | itemgetter("messages") | RunnableLambda(itemgetter(-1)) | StrOutputParser(),
        lambda: (ASK | looks()).with_retry() | LAST,
        lambda: ASK | looks().with_fallbacks([agent("no")]) | LAST,
        lambda: ASK | RunnableBranch((lambda state: True, looks()), agent("no")) | LAST,
        lambda: ASK | RunnableParallel(answer=looks() | LAST, asked=itemgetter("messages")),
        lambda: ASK | looks() | LAST | says("It is warm."),
        lambda: RunnableLambda(lambda question: ASK | looks() | LAST),
        lambda: RunnableLambda(given_back) | LAST,
        lambda: RunnablePassthrough.assign(length=lambda state: len(state["messages"])) | looks() | LAST,
        lambda: {"messages": RunnablePassthrough()} | looks() | LAST,
    ],
    ids=[
        "first",
        "middle",
        "messages",
        "retry",
        "fallback",
        "branch",
        "parallel",
        "before a model",
        "given back",
        "given back, async",
        "behind values",
        "behind its messages",
    ],
)
async def test_what_follows_a_graph_gets_its_state(make: Any) -> None:
    """What `ainvoke` gives the step behind a graph it is given here; calls of the graph's tools are told."""
    seen = await see(make())
    assert ("It is warm.", "stop") == (seen.text, seen.reason)
    assert [("c1", "18 degrees in Rome")] == seen.results


@pytest.mark.parametrize(
    "make",
    [
        lambda: ASK | looks(),
        lambda: RunnableLambda(ASK.invoke) | looks().with_retry(),
        lambda: looks().with_fallbacks([agent("no")]),
        lambda: RunnableBranch((lambda state: bool(state["messages"]), looks()), agent("no")),
        lambda: ASK | agent("a note") | looks(),
        lambda: ASK | LAST | says("a rewritten question") | ASK | looks(),
        lambda: RunnableLambda(asks_an_agent),
    ],
    ids=["behind a step", "retry", "fallback", "branch", "behind a graph", "behind a model", "in a function"],
)
async def test_a_chain_that_ends_in_a_graph(make: Any) -> None:
    """Its answer is the graph's, whatever stands around it; models before it are not shown."""
    seen = await see(make())
    assert ("Let me look.\n\nIt is warm.", "stop", {}) == (seen.text, seen.reason, seen.data)
    assert seen.shown == "Let me look.It is warm."
    assert [("c1", "18 degrees in Rome")] == seen.results


async def test_a_graph_behind_a_step_streams() -> None:
    """Word by word, as it does alone."""
    assert 4 == (await see(ASK | agent("The sky is blue"))).pieces


async def test_a_fallback_takes_the_place_of_a_graph_that_fails() -> None:
    """Nothing is shown of the one that failed."""
    seen = await see(line(MessagesState, fails).with_fallbacks([agent("It is warm.")]))
    assert ("It is warm.", "It is warm.", "stop") == (seen.text, seen.shown, seen.reason)


async def test_graphs_side_by_side() -> None:
    """Each of them adds to a conversation of its own."""
    seen = await see(RunnableParallel(left=ASK | agent("It is warm."), right=ASK | agent("It is cold.")))
    assert ["It is cold.", "It is warm."] == sorted(seen.text.split("\n\n"))


async def repeats(state: MessagesState) -> Any:
    """A node that says what the conversation was."""
    return {"messages": [AIMessage(" | ".join(message.text for message in state["messages"]))]}


@pytest.mark.parametrize(
    "around",
    [
        lambda asked, graph: asked | graph,
        lambda asked, graph: asked | graph.with_fallbacks([agent("no")]),
        lambda asked, graph: (asked | graph).with_fallbacks([asked | agent("no")]),
        lambda asked, graph: asked | RunnableBranch((lambda state: False, agent("no")), graph),
        lambda asked, graph: RunnablePassthrough() | asked | graph,
    ],
    ids=["bare", "fallback", "of both", "branch", "behind a passthrough"],
)
async def test_a_conversation_is_handed_on_to_a_graph(around: Any) -> None:
    """All of it, not only its last question."""
    chain = around(RunnableParallel(messages=RunnablePassthrough()), line(MessagesState, repeats))
    assert "q1 | a1 | q2" == (await see(chain, [("user", "q1"), ("assistant", "a1"), ("user", "q2")])).text


@pytest.mark.parametrize(
    "around",
    [lambda graph: ASK | graph, lambda graph: graph | LAST, lambda graph: graph.with_fallbacks([agent("no")])],
    ids=["behind a step", "before a step", "fallback"],
)
async def test_a_thread_reaches_a_graph_inside(around: Any) -> None:
    """A graph that keeps its threads goes on with the one that was named."""
    graph: Any = agent("one", "two", checkpointer=InMemorySaver())
    chain = around(graph)
    await see(chain, "q1", thread="t")
    assert "two" == (await see(chain, [("user", "q1"), ("assistant", "one"), ("user", "q2")], thread="t")).text
    state = await graph.aget_state({"configurable": {"thread_id": "t"}})
    assert ["q1", "one", "q2", "two"] == [message.content for message in state.values["messages"]]


def asking() -> Any:
    """A graph that asks a person."""

    async def node(state: MessagesState) -> Any:
        return {"messages": [HumanMessage(f"Sent: {interrupt('Send it?')}.", name="mail")]}

    return StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile(InMemorySaver())


@pytest.mark.parametrize(
    "around",
    [
        lambda graph: ASK | graph,
        lambda graph: (ASK | graph).with_config(run_name="x"),
        lambda graph: (ASK | graph.with_config(tags=["y"])).with_config(configurable={"user": "ann"}),
        lambda graph: graph.with_retry(),
        lambda graph: (ASK | graph.with_fallbacks([agent("no")])).with_retry(),
        lambda graph: line(MessagesState, fails).with_fallbacks([graph]),
        lambda graph: RunnableBranch((lambda state: True, graph), agent("no", checkpointer=InMemorySaver())),
        lambda graph: RunnableBranch((lambda state: False, agent("no")), RunnablePassthrough() | graph),
    ],
    ids=["bare", "bound", "bound twice", "retry", "fallback", "as a fallback", "branch", "other branch"],
)
async def test_a_pause_at_the_end_of_a_chain(around: Any) -> None:
    """The answer goes to the graph alone: the steps before it have run."""
    chain = around(asking())
    first = await see(chain, thread="t")
    assert ["Send it?"] == [each["value"] for each in first.interrupts]
    assert "Sent: yes." == (await see(chain, None, thread="t", resume={first.interrupts[0]["id"]: "yes"})).text


async def test_a_pause_inside_a_chain_is_no_answer() -> None:
    """What follows would take a state that is not whole for one that is."""
    graph = asking()

    async def asks_it(question: Any, config: RunnableConfig) -> Any:
        return await graph.ainvoke(ASK.invoke(question), config)

    for chain in (ASK | graph | LAST, RunnableParallel(one=ASK | graph), RunnableLambda(asks_it)):
        assert "chain_failed" == (await see(chain, thread="t")).reason


async def test_a_breakpoint_is_no_end() -> None:
    """A graph that stops by `interrupt_before` is interrupted, and goes on where a person says so."""
    graph: Any = StateGraph(MessagesState).add_node("node", node_that_says("Done.")).add_edge(START, "node")
    graph = graph.compile(InMemorySaver(), interrupt_before=["node"])
    first = await see(graph, thread="t")
    assert ("", ["breakpoint"]) == (first.text, [each["id"] for each in first.interrupts])
    assert "invalid_request" == (await see(graph, None, thread="t", resume={"breakpoint": "no"})).reason
    assert "Done." == (await see(graph, None, thread="t", resume={"breakpoint": "yes"})).text


async def test_without_a_graph_nothing_is_copied() -> None:
    """A chain without graphs is read as it is."""
    seen = await see(RunnablePassthrough() | says("one two"))
    assert ("one two", 2) == (seen.text, seen.pieces)
