"""A graph's answer beside its messages: keys, documents, objects, thoughts, pieces that it writes."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from tests.support.graphs import line, node_that_says
from tests.support.scripted_model import says, see


class Cited(BaseModel):
    """An answer with what it was made from."""

    answer: str
    citations: list[int]


class CitedState(TypedDict, total=False):
    """The state of a graph that cites."""

    question: str
    answer: Cited


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


async def test_an_object_as_the_answer() -> None:
    """An object under an answer key is data, and its own text is the text."""

    async def generate(state: CitedState) -> Any:
        return {"answer": Cited(answer="It is blue.", citations=[1])}

    seen = await see(line(CitedState, generate))
    assert ("It is blue.", {"answer": {"answer": "It is blue.", "citations": [1]}}) == (seen.text, seen.data)


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


class Asked(TypedDict, total=False):
    """A question with documents of the asker's, or of an earlier turn."""

    question: str
    documents: Annotated[list[Document], operator.add]
    answer: str


def from_a_library(*titles: str) -> Any:
    """A graph that finds documents with each of these titles, one a run, and none where the title is empty."""
    found = iter(titles)

    async def generate(state: Asked) -> Any:
        documents = [Document(title, metadata={"title": title}) for title in [next(found)] if title]
        return {"answer": (await says("It is blue.").ainvoke("q")).content, "documents": documents}

    graph = StateGraph(Asked).add_node(generate).add_edge(START, "generate")
    return graph.compile(checkpointer=InMemorySaver())


PROMPT = ChatPromptTemplate.from_template("{documents}{question}") | says("It is blue.") | StrOutputParser()


@pytest.mark.parametrize(
    ("chain", "sources"),
    [
        (from_a_library(""), []),
        (from_a_library("Sky"), ["Sky"]),
        (RunnablePassthrough.assign(answer=PROMPT), []),
    ],
    ids=["a graph that finds nothing", "a graph that finds one", "a chain"],
)
async def test_what_a_chain_is_given_is_no_source(chain: Any, sources: list[str]) -> None:
    """Documents that the asker gives and the chain hands on were not found by anything."""
    given = [Document("mine", metadata={"title": "Mine"})]
    seen = await see(chain, {"question": "q", "documents": given}, thread="t")
    assert ("It is blue.", sources) == (seen.text, seen.sources)


async def test_what_an_earlier_turn_found_is_no_source() -> None:
    """A thread keeps the documents of all its turns; an answer has its own."""
    graph = from_a_library("Sky", "Sea", "", "Sea")
    assert [["Sky"], ["Sea"], [], ["Sea"]] == [(await see(graph, thread="t")).sources for _ in range(4)]
