"""Answers that were made of what a cut model has said: of an object of it, or of a message that says so itself."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.runnables import RunnableLambda
from langgraph.cache.memory import InMemoryCache
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import CachePolicy

from llmstream.core.readers.cut_texts import cut_texts
from tests.support.graphs import line
from tests.support.scripted_model import asks, says, see

CUT = {"done_reason": "length"}


async def parsed(text: str) -> Any:
    """The object that LangChain makes of what a model has said up to its limit."""
    return await (says(AIMessage(text, response_metadata=CUT)) | JsonOutputParser()).ainvoke("q")


async def called(text: str) -> Any:
    """The arguments that LangChain makes of a call up to the limit."""
    asked = asks("Sky", answer=text)
    asked.response_metadata = CUT
    return (await says(asked).ainvoke("q")).tool_calls[0]["args"]


def with_key() -> Any:
    class State(TypedDict, total=False):
        question: str
        answer: str

    async def answer(state: State) -> Any:
        return {"answer": (await parsed('{"answer": "The sky is bl'))["answer"]}

    return line(State, answer)


def with_message() -> Any:
    async def answer(state: MessagesState) -> Any:
        return {"messages": [AIMessage("\n".join(await parsed('["One.", "Tw')))]}

    return line(MessagesState, answer)


def with_call() -> Any:
    async def answer(state: MessagesState) -> Any:
        return {"messages": [AIMessage((await called("The sky is bl"))["answer"])]}

    return line(MessagesState, answer)


def with_function() -> Any:
    @entrypoint()
    async def answer(question: Any) -> Any:
        return (await parsed('```json\n{"answer": "The sky is bl'))["answer"]

    return answer


def with_object() -> Any:
    class State(TypedDict, total=False):
        question: str
        items: list[str]

    async def answer(state: State) -> Any:
        return {"items": await parsed('["One.", "Tw')}

    return line(State, answer)


@pytest.mark.parametrize("make", [with_key, with_message, with_call, with_function, with_object])
async def test_an_object_that_was_cut(make: Any) -> None:
    """Parsers take the half of it for a whole one; what is made of that is cut as well."""
    assert "length" == (await see(make())).reason


async def test_an_object_that_was_cut_behind_the_answer() -> None:
    """A grader of few words takes nothing from an answer that did not break off."""

    async def answer(state: MessagesState) -> Any:
        said = await says("It is blue.").ainvoke("q")
        await parsed('{"score": "yes", "reason": "becau')
        return {"messages": [said]}

    assert "stop" == (await see(line(MessagesState, answer))).reason


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ('{"a": "x", "b": "one\\ntwo \\"three', 'one\ntwo "three'),
        ('["x", "y\\', "y"),
        ('["y\\u00', "y"),
        ('{"a": ""', None),
        ('He said "no', None),
        ("{" + '"' * 200_000, None),
    ],
)
def test_the_last_text_of_an_object(text: str, last: str | None) -> None:
    """As a parser gives it, without the half of an escape."""
    assert [text, *([last] if last else [])] == cut_texts(AIMessage(text))


def cached() -> Any:
    async def answer(state: MessagesState) -> Any:
        return {"messages": [await says(AIMessage("One tw", response_metadata=CUT)).ainvoke("q")]}

    graph = StateGraph(MessagesState).add_node(answer, cache_policy=CachePolicy(key_func=lambda state: "q"))
    return graph.add_edge(START, "answer").compile(cache=CACHE)


CACHE = InMemoryCache[Any]()


async def returning(question: Any) -> AIMessage:
    """A function that asks a client of its own."""
    return AIMessage("One tw", response_metadata=CUT)


async def raw(state: MessagesState) -> Any:
    """A node that asks a client of its own."""
    return {"messages": [AIMessage("One tw", response_metadata=CUT)]}


async def pieces(question: str) -> Any:
    """A client of one's own."""
    yield AIMessage("One tw", response_metadata=CUT)


@pytest.mark.parametrize(
    "chain",
    [
        RunnableLambda(returning),
        pieces,
        line(MessagesState, raw),
        entrypoint()(returning),
    ],
    ids=["function", "generator", "graph", "functional API"],
)
async def test_a_message_that_says_that_it_was_cut(chain: Any) -> None:
    """Though no model of LangChain's was heard: one on another server, or a client of one's own."""
    seen = await see(chain)
    assert ("One tw", "length") == (seen.text, seen.reason)


async def test_a_cut_answer_from_a_cache() -> None:
    """A node that LangGraph does not run again has its message from a run that was cut."""
    assert ["length", "length"] == [(await see(cached())).reason for _ in range(2)]


REFUSALS = [
    AIMessage([{"type": "refusal", "refusal": "I can't say that."}]),
    AIMessage("", additional_kwargs={"refusal": "I can't say that."}),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=["block", "beside the text"])
async def test_a_refusal_is_an_answer(refusal: AIMessage) -> None:
    """It has a place of its own in a message, and an empty answer would look complete."""

    async def answer(state: MessagesState) -> Any:
        return {"messages": [refusal]}

    chains: list[Any] = [RunnableLambda(lambda question: refusal), line(MessagesState, answer)]
    for chain in chains:
        assert "I can't say that." == (await see(chain)).text
