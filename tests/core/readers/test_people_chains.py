"""The chains people have: each streams its tokens, and tells its sources, thoughts and objects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from langchain_community.llms import Ollama
from langchain_community.retrievers import KNNRetriever
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import (
    Runnable,
    RunnableBranch,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_ollama import ChatOllama, OllamaLLM
from pydantic import BaseModel

import llmstream
from llmstream.demo_ollama import DemoOllama
from llmstream.events import Data, Finished, Started
from tests.support.answering import ANSWER, CLOSE, DOCUMENTS, PROMPT, SOURCES, events_of, outline
from tests.support.sky import SKY, model

pytestmark = pytest.mark.usefixtures("sky")
RAG_PROMPT = ChatPromptTemplate.from_template("Answer from this context: {context}\n\nQuestion: {question}")
Chain = Runnable[Any, Any]


def own_model(ollama: DemoOllama) -> ChatOllama:
    """LangChain's own."""
    return ChatOllama(model="demo:one-chunk", base_url=ollama.url, client_kwargs=CLOSE)


def retriever() -> Chain:
    """A retriever of langchain_community that finds all documents."""
    return KNNRetriever.from_documents(DOCUMENTS, DeterministicFakeEmbedding(size=8), k=4)


def vector_store() -> Chain:
    """A retriever of a vector store."""
    store = InMemoryVectorStore.from_documents(DOCUMENTS, DeterministicFakeEmbedding(size=8))
    return store.as_retriever(search_kwargs={"k": 4})


PLAIN: dict[str, Callable[[DemoOllama], Any]] = {
    "StrictChatOllama": lambda ollama: model(),
    "ChatOllama": own_model,
    "prompt-ChatOllama": lambda ollama: PROMPT | own_model(ollama),
    "prompt-ChatOllama-parser": lambda ollama: PROMPT | own_model(ollama) | StrOutputParser(),
    "prompt-legacy-parser": lambda ollama: (
        PROMPT | Ollama(model="demo:one-chunk", base_url=ollama.url) | StrOutputParser()
    ),
    "text-prompt-legacy": lambda ollama: (
        PromptTemplate.from_template("{question}") | Ollama(model="demo:one-chunk", base_url=ollama.url)
    ),
    "legacy": lambda ollama: Ollama(model="demo:one-chunk", base_url=ollama.url),
    "OllamaLLM": lambda ollama: OllamaLLM(model="demo:one-chunk", base_url=ollama.url, client_kwargs=CLOSE),
    "bound": lambda ollama: PROMPT | model().bind(stop=["x"]) | StrOutputParser(),
    "configured": lambda ollama: (PROMPT | model()).with_config(tags=["a"]),
    "retry": lambda ollama: (PROMPT | model()).with_retry(),
    "fallback": lambda ollama: (PROMPT | model("demo:error-500")).with_fallbacks([PROMPT | model()]),
    "branch": lambda ollama: RunnableBranch((lambda value: False, PROMPT), PROMPT | model() | StrOutputParser()),
    "passthrough": lambda ollama: {"question": RunnablePassthrough()} | PROMPT | model() | StrOutputParser(),
    "itemgetter": lambda ollama: RunnableLambda(lambda value: {"question": value}) | PROMPT | model(),
    "typed": lambda ollama: (PROMPT | model()).with_types(input_type=dict),
    "function that gives a chain": lambda ollama: lambda question: PROMPT | model() if question else model(),
}


@pytest.mark.parametrize("name", PLAIN)
async def test_answers(ollama: DemoOllama, name: str) -> None:
    """The answer comes whole, and ends as it should."""
    events = await events_of(SKY, chain=PLAIN[name](ollama))

    assert ANSWER == outline(events)


@pytest.mark.parametrize("name", ["prompt-ChatOllama", "prompt-ChatOllama-parser", "prompt-legacy-parser"])
async def test_tokens_come_while_the_model_answers(ollama: DemoOllama, name: str) -> None:
    """A token is there as soon as the model has made it, long before the end."""
    chains: dict[str, Chain] = {
        "prompt-ChatOllama": PROMPT | ChatOllama(model="demo:stall-3", base_url=ollama.url, client_kwargs=CLOSE),
        "prompt-ChatOllama-parser": PROMPT | model("demo:stall-3") | StrOutputParser(),
        "prompt-legacy-parser": PROMPT | Ollama(model="demo:stall-3", base_url=ollama.url) | StrOutputParser(),
    }
    pieces = llmstream.astream(SKY, chain=chains[name])
    got = [await anext(pieces) for _ in range(3)]
    await pieces.aclose()

    assert [" 1", " 2", " 3"] == got
    assert await asyncio.to_thread(ollama.wait_idle, timeout_s=1)


def joined(documents: list[Document]) -> str:
    """The text of documents."""
    return "\n".join(document.page_content for document in documents)


@pytest.mark.parametrize("find", [retriever, vector_store])
@pytest.mark.parametrize(
    "build",
    [
        lambda find: {"context": find, "question": RunnablePassthrough()} | RAG_PROMPT | model() | StrOutputParser(),
        lambda find: (
            {"context": find | joined,
             "question": RunnablePassthrough()}
            | RAG_PROMPT | model() | StrOutputParser()
        ),
        lambda find: RunnableParallel(context=find, question=RunnablePassthrough()).assign(
            answer=RAG_PROMPT | model() | StrOutputParser()
        ),
        lambda find: (
            RunnableLambda(lambda question: {"question": question})
            | RunnablePassthrough.assign(context=RunnableLambda(lambda value: value["question"]) | find)
            | RAG_PROMPT | model()
        ),
    ],
    ids=["context", "formatted context", "dicts", "assign"],
)  # fmt: skip
async def test_rag(ollama: DemoOllama, build: Callable[[Any], Chain], find: Callable[[], Chain]) -> None:
    """A chain with a retriever tells its sources once, before the answer: title, url and excerpt, and no path."""
    rows = outline(await events_of(SKY, chain=build(find())))
    [kind, name, value], *rest = rows

    assert ("data", "sources") == (kind, name)
    assert sorted(SOURCES, key=str) == sorted(value, key=str)
    assert ANSWER == [row for row in rest if row[0] != "data"]
    assert not [row for row in rest if row[0] == "data"]
    assert "home" not in str(rows)
    assert "Users" not in str(rows)


class Fruit(BaseModel):
    """A fruit."""

    name: str
    count: int


class FruitDict(TypedDict):
    """A fruit."""

    name: str
    count: int


@pytest.mark.parametrize("schema", [Fruit, FruitDict, Fruit.model_json_schema()])
async def test_structured_output(ollama: DemoOllama, schema: Any) -> None:
    """A structured answer is data: each one replaces the one before it, the last one is whole."""
    ollama.answers["fruit"] = '{"name": "fig", "count": 3}'
    chain = PROMPT | model("demo").with_structured_output(schema)
    *values, last = [event for event in await events_of("fruit", chain=chain) if not isinstance(event, Started)]

    assert isinstance(last, Finished)
    assert Data("output", {"name": "fig", "count": 3}) == values[-1]
    assert {"output"} == {value.name for value in values if isinstance(value, Data)}


async def test_json_parser() -> None:
    """A JSON parser's values come while the answer grows, a few in a second, and the last one is whole."""
    fruits = {"answer": "fig", "others": ["apple", "plum"], "more": [str(number) for number in range(20)]}
    with DemoOllama(tokens_per_s=60) as ollama:
        ollama.answers["fruits"] = json.dumps(fruits)
        chat = ChatOllama(model="demo", base_url=ollama.url, client_kwargs=CLOSE)
        events = await events_of("fruits", chain=PROMPT | chat | JsonOutputParser())
    values = [event.value for event in events if isinstance(event, Data)]

    assert fruits == values[-1]
    assert 3 <= len(values) <= 15
    assert {"output"} == {event.name for event in events if isinstance(event, Data)}
