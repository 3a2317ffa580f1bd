"""The answer of a chain whose items are its answer: text, data, sources, and the models whose text is shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import CallbackManagerForRetrieverRun, adispatch_custom_event
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import (
    CommaSeparatedListOutputParser,
    JsonOutputParser,
    PydanticOutputParser,
    StrOutputParser,
    XMLOutputParser,
)
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import (
    ConfigurableField,
    RunnableBranch,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langgraph.graph import MessagesState
from pydantic import BaseModel

from tests.support.graphs import line, node_that_says
from tests.support.pixel import PIXEL
from tests.support.scripted_model import ScriptedModel, asks, says, see

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": "three"},
]
THINKS = {"additional_kwargs": {"reasoning_content": "hm"}}


class Sky(BaseModel):
    """A color."""

    color: str


class Library(BaseRetriever):
    """Finds two documents."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document(f"text of {title}", metadata={"title": title}) for title in ("Sky", "Sea")]


class Best(BaseRetriever):
    """Looks through another retriever's documents for the best one."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return Library().invoke(query, config={"callbacks": run_manager.get_child()})[:1]


def rag(retriever: Any, model: Any) -> Any:
    """Retrieval as everybody writes it."""
    prompt = ChatPromptTemplate.from_template("{context} {question}")
    return {"context": retriever, "question": RunnablePassthrough()} | prompt | model | StrOutputParser()


@pytest.mark.parametrize(("retriever", "titles"), [(Library(), ["Sky", "Sea"]), (Best(), ["Sky"])])
async def test_sources_are_the_outermost_retrievers(retriever: Any, titles: list[str]) -> None:
    """What a retriever looks through itself is no source."""
    seen = await see(rag(retriever, says("It is blue.")))
    assert ("It is blue.", titles) == (seen.text, seen.sources)


async def test_thoughts_of_the_model_that_answers() -> None:
    """A step that rewrites the question thinks for itself."""
    rewrite = says(AIMessage("rewritten", **THINKS)) | StrOutputParser()
    seen = await see(rewrite | says(AIMessage("It is blue.", additional_kwargs={"reasoning_content": "easy"})))
    assert ("It is blue.", "easy") == (seen.text, seen.reasoning)


async def test_thoughts_of_a_model_in_a_function() -> None:
    """Where the model that answers can't be seen, its thinking is told once its text is there."""

    async def ask(question: str) -> str:
        await says(AIMessage("a title", additional_kwargs={"reasoning_content": "not this"})).ainvoke(question)
        return str((await says(AIMessage("It is blue.", **THINKS)).ainvoke(question)).content)

    seen = await see(RunnableLambda(ask))
    assert ("It is blue.", "hm") == (seen.text, seen.reasoning)


async def test_a_cut_answer_and_a_title() -> None:
    """How the answer ended is said by the model whose text it is."""

    async def ask(question: str) -> str:
        cut = await says(AIMessage("a cut answ", response_metadata={"finish_reason": "length"})).ainvoke(question)
        await says(AIMessage("A title", response_metadata={"finish_reason": "stop"})).ainvoke(question)
        return str(cut.content)

    seen = await see(RunnableLambda(ask))
    assert ("a cut answ", "length") == (seen.text, seen.reason)


async def test_models_side_by_side() -> None:
    """Each of them is a message of its own, by its name."""
    seen = await see(RunnableParallel(joke=says("a joke on tea"), poem=says("a poem on tea")))
    assert ["a joke on tea", "a poem on tea"] == sorted(seen.text.split("\n\n"))
    parsed = RunnableParallel(joke=says("a joke") | StrOutputParser(), poem=says("a poem") | StrOutputParser())
    assert ["a joke", "a poem"] == sorted((await see(parsed)).text.split("\n\n"))


async def test_two_models_of_a_generator() -> None:
    """Two messages that come one after the other are told apart."""

    async def both(question: str) -> AsyncIterator[Any]:
        for model in (says("one two"), says("three")):
            async for chunk in model.astream("q"):
                yield chunk

    assert "one two\n\nthree" == (await see(both)).text


@pytest.mark.parametrize(
    ("chain", "data"),
    [
        (says('{"a": "b c"}') | JsonOutputParser(), {"output": {"a": "b c"}}),
        ((says('{"a": 1}') | JsonOutputParser()).with_fallbacks([says("x")]), {"output": {"a": 1}}),
        ((says('{"a": 1}') | JsonOutputParser()).with_retry(), {"output": {"a": 1}}),
        (says("blue, green") | CommaSeparatedListOutputParser(), {"item": ["blue", "green"]}),
        (says('{"color": "blue"}') | PydanticOutputParser(pydantic_object=Sky), {"output": {"color": "blue"}}),
        (
            says("<films><film>Big</film><film>Alien</film></films>") | XMLOutputParser(parser="xml"),
            {"films": [{"film": "Big"}, {"film": "Alien"}]},
        ),
    ],
    ids=["json", "fallback", "retry", "list", "pydantic", "xml"],
)
async def test_objects_are_whole(chain: Any, data: dict[str, Any]) -> None:
    """Objects are data, and what comes in pieces is told as one."""
    seen = await see(chain)
    assert ("", data, "stop") == (seen.text, seen.data, seen.reason)


async def test_of_raw_and_parsed_the_parsed() -> None:
    """`include_raw` repeats itself."""
    parse: Any = RunnableLambda(lambda message: {"raw": message, "parsed": {"color": "blue"}, "parsing_error": None})
    seen = await see(says('{"color": "blue"}') | parse)
    assert ("", {"parsed": {"color": "blue"}}) == (seen.text, seen.data)
    called = says(asks("Sky", color="blue")).with_structured_output(Sky, include_raw=True)
    seen = await see(called)
    assert ("", {"parsed": {"color": "blue"}}, [], "stop") == (seen.text, seen.data, seen.calls, seen.reason)


async def test_a_parser_that_fails_is_a_failed_run() -> None:
    """An answer that can't be parsed is never a complete one."""
    for text, parser in (
        ("no json", PydanticOutputParser(pydantic_object=Sky)),
        ('{"color": 1', PydanticOutputParser(pydantic_object=Sky)),
        ("no json", JsonOutputParser()),
    ):
        assert "chain_failed" == (await see(says(text) | parser)).reason


async def test_events_of_the_chains_own() -> None:
    """What a chain dispatches is data."""

    async def work(question: str, config: Any) -> str:
        await adispatch_custom_event("progress", {"step": 1}, config=config)
        return "done"

    seen = await see(RunnableLambda(work))
    assert ("done", {"progress": {"step": 1}}) == (seen.text, seen.data)


class Echo(ScriptedModel):
    """Says what it was given."""

    def _stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        self.messages = iter([AIMessage(" | ".join(str(message.content) for message in messages))])
        return super()._stream(messages, *args, **kwargs)


def echo() -> Echo:
    return Echo(messages=iter([]))


BRANCH = RunnableBranch((lambda value: False, says("no")), echo())
CHOICE = echo().configurable_alternatives(ConfigurableField("model"), default_key="echo", other=says("no"))


@pytest.mark.parametrize(
    "chain",
    [echo(), echo().with_fallbacks([echo()]), echo().with_retry(), BRANCH, CHOICE, echo().bind(stop=["x"])],
    ids=["model", "fallback", "retry", "branch", "choice", "binding"],
)
async def test_a_model_gets_the_messages(chain: Any) -> None:
    """Whatever stands around a model, it is given the conversation as it would be alone."""
    assert "Be brief. | one | two | three" == (await see(chain, TALK)).text


@pytest.mark.parametrize(
    ("prompt", "question", "text"),
    [
        (PromptTemplate.from_template("{history}\nHuman: {input}"), TALK[1:], "Human: one\nAI: two\nHuman: three"),
        (PromptTemplate.from_template("[{chat_history}] {question}"), "hi", "[] hi"),
        (ChatPromptTemplate.from_template("{question}"), [*TALK[1:2], TALK[0]], "one"),
        (
            ChatPromptTemplate([MessagesPlaceholder("chat_history"), ("human", "{question}")]),
            TALK[1:],
            "one | two | three",
        ),
        (
            {"messages": RunnablePassthrough()} | ChatPromptTemplate([MessagesPlaceholder("messages")]),
            TALK[1:],
            "one | two | three",
        ),
    ],
    ids=["history as text", "first turn", "reminder last", "placeholder", "passthrough"],
)
async def test_what_a_prompt_is_given(prompt: Any, question: Any, text: str) -> None:
    """History is text in a text and messages in a placeholder; the question is the last user message."""
    assert text == (await see(prompt | echo(), question)).text


PICTURE = AIMessage([{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}])
DRAWN = AIMessage(
    [{"type": "text", "text": "Here it is: "}, {"type": "image", "base64": PIXEL, "mime_type": "image/png"}]
)


@pytest.mark.parametrize(
    "make",
    [
        says,
        lambda message: RunnableLambda(lambda question: message),
        lambda message: line(MessagesState, node_that_says(message)),
        lambda message: create_agent(says(message)),
    ],
    ids=["model", "function", "graph", "agent"],
)
async def test_an_answer_that_is_no_text(make: Any) -> None:
    """What has no place in a text is named there: an answer that looked empty, or whole, would be a wrong one."""
    assert ["[image]", "Here it is: [image]"] == [(await see(make(message))).text for message in (PICTURE, DRAWN)]


async def test_one_of_several_answer_keys() -> None:
    """One key is the answer; a text under another one is a value beside it, and not glued to it."""
    seen = await see(RunnableLambda(lambda question: {"answer": "Paris", "text": "A passage of the book."}))
    assert "Paris" == seen.text


async def test_keys_of_an_input_are_left_out_beside_an_answer_only() -> None:
    """Where a chain gives nothing else, such as a query that it has rewritten, they are its result."""
    alone = await see(RunnableLambda(lambda question: {"query": "sky colour", "k": 3}))
    assert {"query": "sky colour", "k": 3} == alone.data
    beside = await see(RunnableLambda(lambda question: {"question": question, "answer": "Blue."}))
    assert ("Blue.", {}) == (beside.text, beside.data)
