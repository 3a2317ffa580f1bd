"""Several nodes that speak: side by side, in subgraphs, functions, one after the other."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy, Send

from tests.support.graphs import line, node_that_says
from tests.support.scripted_model import says, see


async def test_parallel_nodes_are_not_woven_together() -> None:
    """Two nodes that speak at the same time are told one after the other."""

    async def slowly(state: Any, text: str) -> Any:
        model = says(text)
        said: Any = AIMessageChunk(content="")
        async for chunk in model.astream(state["messages"]):
            await asyncio.sleep(0)
            said = said + chunk
        return {"messages": [said]}

    async def left(state: MessagesState) -> Any:
        return await slowly(state, "left one two three")

    async def right(state: MessagesState) -> Any:
        return await slowly(state, "right one two three")

    graph = StateGraph(MessagesState).add_node("left", left).add_node("right", right)
    graph.add_edge(START, "left").add_edge(START, "right").add_edge("left", END).add_edge("right", END)
    seen = await see(graph.compile())
    assert ["left one two three", "right one two three"] == sorted(seen.text.split("\n\n"))


async def test_map_reduce() -> None:
    """The parts of a map are no answer; what is made of them is."""

    class State(TypedDict, total=False):
        question: str
        parts: Annotated[list[str], operator.add]
        answer: str

    async def part(state: Any) -> Any:
        return {"parts": [(await says(f"part {state['n']}").ainvoke("q")).content]}

    async def join(state: State) -> Any:
        return {"answer": (await says("the whole").ainvoke("q")).content}

    graph = (
        StateGraph(State).add_node("part", part).add_node("join", join).add_edge("part", "join").add_edge("join", END)
    )
    graph.add_conditional_edges(START, lambda state: [Send("part", {"n": n}) for n in (1, 2, 3)], ["part"])
    seen = await see(graph.compile())
    assert ("the whole", "the whole") == (seen.text, seen.shown)
    assert ["part 1", "part 2", "part 3"] == sorted(seen.data["parts"])


async def test_a_subgraph_is_a_node() -> None:
    """The messages of a subgraph are those that the outer state keeps."""
    inner = line(MessagesState, node_that_says("from the inside", "inner"))
    graph = StateGraph(MessagesState).add_node("agent", inner).add_edge(START, "agent").add_edge("agent", END)
    assert "from the inside" == (await see(graph.compile())).text


async def test_a_graph_called_inside_a_node_is_inner() -> None:
    """What a worker says to the node that called it is the node's affair."""
    worker = line(MessagesState, node_that_says("notes of a worker", "inner"))

    async def call(state: MessagesState) -> Any:
        await worker.ainvoke({"messages": [("user", "work")]})
        return {"messages": [AIMessage("The report.")]}

    seen = await see(line(MessagesState, call))
    assert "The report." == seen.text


async def test_handoff_by_command() -> None:
    """A node that goes on by a `Command` says its own message."""

    async def clerk(state: MessagesState) -> Command[Any]:
        return Command(goto="pirate", update={"messages": [await says("One moment.").ainvoke("q")]})

    graph = StateGraph(MessagesState).add_node("clerk", clerk, destinations=("pirate",))
    graph.add_node("pirate", node_that_says("Ahoy!", "pirate")).add_edge(START, "clerk").add_edge("pirate", END)
    assert "One moment.\n\nAhoy!" == (await see(graph.compile())).text


@pytest.mark.parametrize(
    "returned", ["Hello.", AIMessage("Hello."), [AIMessage("Hello.")], {"answer": "Hello."}], ids=str
)
async def test_functional_api(returned: Any) -> None:
    """What an `@entrypoint` returns is the answer; what its tasks said on the way is not shown."""

    @task
    async def draft(topic: str) -> str:
        return str((await says("a first draft").ainvoke(topic)).content)

    @entrypoint()
    async def flow(topic: str) -> Any:
        await draft(topic)
        return returned

    seen = await see(flow)
    assert ("Hello.", "Hello.") == (seen.text, seen.shown)


async def test_a_function_that_returns_several_texts() -> None:
    """The one that is a model's is the answer, and the others are told by their names."""

    @entrypoint()
    async def flow(question: str) -> Any:
        essay = (await says("An essay.").ainvoke(question)).content
        return {"question": question, "essay": essay, "kind": "short", "words": 2}

    seen = await see(flow)
    assert ("An essay.", {"kind": "short", "words": 2}) == (seen.text, seen.data)


async def test_answer_nodes() -> None:
    """Named nodes, and no others, are the answer, whatever their place in the graph."""
    graph = line(MessagesState, node_that_says("the answer", "early"), node_that_says("a farewell", "late"))
    seen = await see(graph, answer_nodes=["early"])
    assert ("the answer", "the answer", 2) == (seen.text, seen.shown, seen.pieces)


async def test_a_node_that_fails() -> None:
    """A graph that fails is a failed run, with what came before."""

    async def fail(state: MessagesState) -> Any:
        await says("half an answer").ainvoke("q")
        raise KeyError("x")

    seen = await see(line(MessagesState, fail))
    assert "chain_failed" == seen.reason


async def flaky(state: MessagesState) -> Any:
    """A node that fails once, behind what its model says."""
    said = await says("It is blue.").ainvoke("q")
    if not state["messages"][0].additional_kwargs.setdefault("tried", False):
        state["messages"][0].additional_kwargs["tried"] = True
        raise ConnectionError("no")
    return {"messages": [said]}


async def apologize(state: MessagesState) -> Any:
    """Takes the place of a node that failed."""
    return {"messages": [AIMessage("Sorry.")]}


@pytest.mark.parametrize(
    ("policy", "text"),
    [({"retry_policy": RetryPolicy(initial_interval=0)}, "It is blue."), ({"error_handler": apologize}, "Sorry.")],
    ids=["a retry", "a handler"],
)
@pytest.mark.parametrize("is_inside", [False, True], ids=["alone", "in a subgraph"])
async def test_a_node_that_fails_and_is_not_the_end(policy: Any, text: str, is_inside: bool) -> None:
    """What it said before it failed is not shown: it is said again, or another node answers."""
    graph: Any = StateGraph(MessagesState).add_node("flaky", flaky, **policy).add_edge(START, "flaky").compile()
    if is_inside:
        graph = StateGraph(MessagesState).add_node("inner", graph).add_edge(START, "inner").compile()
    seen = await see(graph)
    assert (text, text, 0) == (seen.text, seen.shown, seen.withdrawn)
