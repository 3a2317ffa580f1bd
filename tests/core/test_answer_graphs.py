"""The answer of a graph: its final state judges, and what was shown and not kept is taken back."""

from __future__ import annotations

import asyncio
import operator
from itertools import pairwise
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, RemoveMessage
from langchain_core.output_parsers import JsonOutputParser
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send
from pydantic import BaseModel

from tests.support.scripted_model import asks, says, see, weather


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


async def test_a_node_streams() -> None:
    """The text of a node that ends the graph comes word by word."""
    seen = await see(line(MessagesState, node_that_says("The sky is blue")))
    assert ("The sky is blue", 4, 0) == (seen.text, seen.pieces, seen.withdrawn)


@pytest.mark.parametrize(
    "made",
    [
        lambda text: AIMessage(text),
        lambda text: {"role": "assistant", "content": text},
        lambda text: {"role": "ai", "content": text},
    ],
)
async def test_any_form_of_a_message(made: Any) -> None:
    """A message that the node makes itself is the answer, whether or not its model's text was in it."""

    async def node(state: MessagesState) -> Any:
        return {"messages": [made(str((await says("The sky is blue").ainvoke("q")).content))]}

    assert "The sky is blue" == (await see(line(MessagesState, node))).text


async def test_a_draft_that_the_graph_drops() -> None:
    """What a guard replaces is withdrawn."""

    async def node(state: MessagesState) -> Any:
        await says("a draft that must not stay").ainvoke(state["messages"])
        return {"messages": [AIMessage("I can't help with that.")]}

    seen = await see(line(MessagesState, node))
    assert ("I can't help with that.", 1) == (seen.text, seen.withdrawn)


async def test_what_a_node_adds_is_said() -> None:
    """Sources put behind the model's text go on the same message."""

    async def node(state: MessagesState) -> Any:
        said = await says("It is blue.").ainvoke(state["messages"])
        return {"messages": [AIMessage(f"{said.content}\n\nSources: sky.pdf")]}

    seen = await see(line(MessagesState, node))
    assert ("It is blue.\n\nSources: sky.pdf", 0) == (seen.text, seen.withdrawn)
    assert seen.text == seen.shown


@pytest.mark.parametrize("inner", ['{"binary_score": "yes"}', "yes", "rewritten question", "[1, 2]"])
async def test_a_step_before_the_answer_is_not_shown(inner: str) -> None:
    """A grader's word, a router's, a rewritten question: none of it is ever shown."""

    async def grade(state: MessagesState) -> Any:
        await says(inner).ainvoke(state["messages"])
        return {}

    seen = await see(line(MessagesState, grade, node_that_says("The answer.")))
    assert ("The answer.", "The answer.") == (seen.text, seen.shown)


async def test_a_step_that_is_kept_is_shown_when_it_is() -> None:
    """A message of a node that can't end the graph waits for its end, and is said in its place."""
    seen = await see(line(MessagesState, node_that_says("First.", "plan"), node_that_says("Second.")))
    assert ("First.\n\nSecond.", 0) == (seen.text, seen.withdrawn)


async def test_a_rewritten_question_in_the_state() -> None:
    """A human message that the graph made is no answer, but for one that names its speaker."""

    async def rewrite(state: MessagesState) -> Any:
        return {"messages": [HumanMessage("What is it exactly?"), HumanMessage("I object.", name="critic")]}

    seen = await see(line(MessagesState, rewrite, node_that_says("The answer.")))
    assert "I object.\n\nThe answer." == seen.text


async def test_history_is_no_answer() -> None:
    """A state without a reducer holds the conversation anew: only what is new is said."""

    class Plain(TypedDict):
        messages: list[Any]

    async def node(state: Plain) -> Any:
        return {"messages": [*state["messages"], await says("new answer").ainvoke("q")]}

    talk = [("user", "one"), ("assistant", "old answer"), ("user", "two")]
    assert "new answer" == (await see(line(Plain, node), talk)).text


async def test_a_message_that_is_replaced() -> None:
    """A message under the same id, from whichever node, takes the place of the earlier one, calls and all."""

    async def check(state: MessagesState) -> Any:
        last = state["messages"][-1]
        return {"messages": [AIMessage("Mail [redacted] please.", id=last.id)]}

    first = asks(text="Mail ann@example.org please.", city="x")
    seen = await see(line(MessagesState, node_that_says(first, "draft"), check))
    assert ("Mail [redacted] please.", [], "stop") == (seen.text, seen.calls, seen.reason)


async def test_a_message_that_is_removed() -> None:
    """A failed attempt that the graph takes out is never told."""

    async def remove(state: MessagesState) -> Any:
        return {"messages": [RemoveMessage(id=str(state["messages"][-1].id))]}

    seen = await see(line(MessagesState, node_that_says("bad attempt", "attempt"), remove, node_that_says("A haiku.")))
    assert ("A haiku.", "A haiku.") == (seen.text, seen.shown)


@pytest.mark.parametrize("key", ["answer", "response", "generation", "output_text", "final_answer", "reply"])
async def test_answer_keys(key: str) -> None:
    """A state without messages has its answer under a known name; a word of a step before it is nothing."""
    schema = TypedDict("schema", {"question": str, "category": str, key: str})  # type: ignore[misc]

    async def sort(state: Any) -> Any:
        return {"category": (await says("weather").ainvoke("q")).content}

    async def generate(state: Any) -> Any:
        return {key: (await says("It is blue.").ainvoke("q")).content}

    seen = await see(line(schema, sort, generate))
    assert ("It is blue.", "It is blue.", {}) == (seen.text, seen.shown, seen.data)


async def test_documents_of_the_state() -> None:
    """The documents that the graph chose are the sources, each once, before the answer."""

    class State(TypedDict, total=False):
        question: str
        documents: list[Document]
        answer: str

    async def retrieve(state: State) -> Any:
        return {"documents": [Document(title, metadata={"title": title}) for title in ("Sky", "Sea")]}

    async def grade(state: State) -> Any:
        return {"documents": state["documents"][:1]}

    async def generate(state: State) -> Any:
        return {"answer": (await says("It is blue.").ainvoke("q")).content}

    seen = await see(line(State, retrieve, grade, generate))
    assert ("It is blue.", ["Sky"]) == (seen.text, seen.sources)


class Cited(BaseModel):
    """An answer with what it was made from."""

    answer: str
    citations: list[int]


class CitedState(TypedDict, total=False):
    """The state of a graph that cites."""

    question: str
    answer: Cited


async def test_an_object_as_the_answer() -> None:
    """An object under an answer key is data, and its own text is the text."""

    async def generate(state: CitedState) -> Any:
        return {"answer": Cited(answer="It is blue.", citations=[1])}

    seen = await see(line(CitedState, generate))
    assert ("It is blue.", {"answer": {"answer": "It is blue.", "citations": [1]}}) == (seen.text, seen.data)


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


async def test_answer_nodes() -> None:
    """Named nodes, and no others, are the answer, whatever their place in the graph."""
    graph = line(MessagesState, node_that_says("the answer", "early"), node_that_says("a farewell", "late"))
    seen = await see(graph, answer_nodes=["early"])
    assert ("the answer", "the answer", 2) == (seen.text, seen.shown, seen.pieces)


async def test_nostream_means_not_streamed() -> None:
    """What such a model said and the state keeps is shown whole, without its thoughts."""

    async def node(state: MessagesState) -> Any:
        hidden = says(AIMessage("shown whole", additional_kwargs={"reasoning_content": "secret"}))
        return {"messages": [await hidden.with_config(tags=["nostream"]).ainvoke(state["messages"])]}

    seen = await see(line(MessagesState, node))
    assert ("shown whole", "", 1) == (seen.text, seen.reasoning, seen.pieces)


async def test_pieces_by_the_stream_writer() -> None:
    """A message chunk that a node writes is text; anything else is data."""

    async def node(state: MessagesState) -> Any:
        write = get_stream_writer()
        write({"step": 1})
        for word in ("Hello ", "there"):
            write(AIMessageChunk(content=word, id="own"))
        return {"messages": [AIMessage("Hello there", id="own")]}

    seen = await see(line(MessagesState, node))
    assert ("Hello there", {"custom": {"step": 1}}) == (seen.text, seen.data)


async def test_thoughts_of_a_step_are_its_own() -> None:
    """Only the thinking before a text that is shown is shown."""
    thinking = {"additional_kwargs": {"reasoning_content": "a plan"}}

    async def plan(state: MessagesState) -> Any:
        await says(AIMessage("the plan", **thinking)).ainvoke(state["messages"])
        return {}

    answer = node_that_says(AIMessage("Done.", additional_kwargs={"reasoning_content": "easy"}))
    seen = await see(line(MessagesState, plan, answer))
    assert ("Done.", "easy") == (seen.text, seen.reasoning)


async def test_a_cut_answer() -> None:
    """The reason is that of the text that was shown, whatever a step after it says."""

    async def title(state: MessagesState) -> Any:
        await says(AIMessage("A title", response_metadata={"finish_reason": "stop"})).ainvoke("q")
        return {}

    cut = node_that_says(AIMessage("a cut answ", response_metadata={"finish_reason": "length"}))
    seen = await see(line(MessagesState, cut, title))
    assert ("a cut answ", "length") == (seen.text, seen.reason)


async def test_a_node_that_fails() -> None:
    """A graph that fails is a failed run, with what came before."""

    async def fail(state: MessagesState) -> Any:
        await says("half an answer").ainvoke("q")
        raise KeyError("x")

    seen = await see(line(MessagesState, fail))
    assert "chain_failed" == seen.reason


async def test_a_grader_by_a_parser() -> None:
    """A chain inside a node is the node's own affair."""

    async def grade(state: MessagesState) -> Any:
        await (says('{"score": 1}') | JsonOutputParser()).ainvoke("q")
        return {"messages": [await says("Fine.").ainvoke("q")]}

    seen = await see(line(MessagesState, grade))
    assert ("Fine.", "Fine.") == (seen.text, seen.shown)


async def test_the_weather_tool_is_not_a_node() -> None:
    """A sync node, whose model runs in a thread, streams as an async one does."""

    def node(state: MessagesState) -> Any:
        return {
            "messages": [
                says("from a thread").invoke(state["messages"]),
            ]
        }

    assert weather.name == "weather"
    seen = await see(line(MessagesState, node))
    assert ("from a thread", 3) == (seen.text, seen.pieces)
