"""The chains people have: each streams its tokens, and tells its sources, tools, thoughts and data."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypedDict

import pytest
from langchain_community.llms import Ollama
from langchain_community.retrievers import KNNRetriever
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import (
    Runnable,
    RunnableBranch,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_ollama import ChatOllama, OllamaLLM
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import StreamWriter
from pydantic import BaseModel

import llmstream
from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.events import Data, Finished, Started, ToolCall, ToolResult
from tests.support.answering import ANSWER, CLOSE, DOCUMENTS, PROMPT, SOURCES, events_of, outline

SKY = "What color is the sky?"
RAG_PROMPT = ChatPromptTemplate.from_template("Answer from this context: {context}\n\nQuestion: {question}")
Chain = Runnable[Any, Any]


@pytest.fixture(autouse=True)
def ollama(upstream: DemoOllama, monkeypatch: pytest.MonkeyPatch) -> DemoOllama:
    """The demo Ollama, which chains find in the environment."""
    monkeypatch.setenv("OLLAMA_HOST", upstream.url)
    upstream.answers[SKY] = SENTENCE
    return upstream


def model(name: str = "demo:one-chunk", **fields: Any) -> StrictChatOllama:
    """A model that says `SENTENCE`."""
    return StrictChatOllama(model=name, **fields)


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


async def upper(tokens: AsyncIterator[str]) -> AsyncIterator[str]:
    """A step that passes pieces on."""
    async for token in tokens:
        yield token.upper()


def sync_upper(tokens: Iterator[str]) -> Iterator[str]:
    """The same for sync code."""
    for token in tokens:
        yield token.upper()


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


async def async_lambda(question: str) -> str:
    """A whole answer."""
    return SENTENCE


async def async_generator(question: str) -> AsyncIterator[str]:
    """An answer in two pieces."""
    assert SKY == question
    yield SENTENCE[:5]
    yield SENTENCE[5:]


def sync_generator(question: str) -> Iterator[str]:
    """An answer in two pieces, for sync code."""
    assert SKY == question
    yield SENTENCE[:5]
    yield SENTENCE[5:]


FUNCTIONS: dict[str, Callable[[], Any]] = {
    "sync lambda": lambda: RunnableLambda(lambda question: SENTENCE),
    "plain function": lambda: lambda question: SENTENCE,
    "async lambda": lambda: RunnableLambda(async_lambda),
    "async function": lambda: async_lambda,
    "async generator": lambda: async_generator,
    "sync generator": lambda: sync_generator,
    "sync lambda behind a model": lambda: PROMPT | model() | StrOutputParser() | RunnableLambda(lambda text: text),
    "message": lambda: RunnableLambda(lambda question: AIMessage(SENTENCE)),
    "content blocks": lambda: RunnableLambda(lambda question: AIMessage([{"type": "text", "text": SENTENCE}])),
    "answer of a dict": lambda: RunnableLambda(lambda question: {"answer": SENTENCE, "question": question}),
    "message of a dict": lambda: RunnableLambda(lambda question: {"output": AIMessage(SENTENCE), "input": "x"}),
}


@pytest.mark.parametrize("name", FUNCTIONS)
async def test_functions(ollama: DemoOllama, name: str) -> None:
    """Functions of any kind are chains."""
    assert ANSWER == outline(await events_of(SKY, chain=FUNCTIONS[name]()))


@pytest.mark.parametrize("step", [upper, sync_upper])
async def test_generator_steps(ollama: DemoOllama, step: Any) -> None:
    """A generator behind the model changes the pieces."""
    events = await events_of(SKY, chain=PROMPT | model() | StrOutputParser() | RunnableGenerator(step))

    assert [("token", SENTENCE.upper()), ("finished", "stop")] == outline(events)


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


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return "18 degrees"


def graph(chat_model: Any) -> Any:
    """An agent: a model, and a node that calls its tools."""
    bound = chat_model.bind_tools([get_weather])

    async def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_node("tools", ToolNode([get_weather]))
    builder.add_edge(START, "ask")
    builder.add_conditional_edges("ask", tools_condition)
    builder.add_edge("tools", "ask")
    return builder.compile()


@pytest.mark.parametrize("own", [False, True])
async def test_graph_with_a_tool(ollama: DemoOllama, own: bool) -> None:
    """A LangGraph agent streams its last answer, and tells the call of a tool and what the tool said."""
    name = "demo:tool-call"
    chat_model = ChatOllama(model=name, base_url=ollama.url, client_kwargs=CLOSE) if own else model(name)
    events = await events_of(SKY, chain=graph(chat_model))
    calls = [event for event in events if isinstance(event, ToolCall)]
    results = [event for event in events if isinstance(event, ToolResult)]

    assert [
        ("tool_call", "get_weather", {"city": "Paris"}),
        ("tool_result", "18 degrees"),
        *ANSWER,
    ] == outline(events)
    assert [call.id for call in calls] == [result.id for result in results]


async def test_graph_that_emits_data() -> None:
    """What a node writes to LangGraph's custom stream is data."""

    async def node(state: MessagesState, writer: StreamWriter) -> dict[str, Any]:
        writer({"step": 1})
        return {"messages": [AIMessage(SENTENCE)]}

    builder = StateGraph(MessagesState)
    builder.add_node("node", node)
    builder.add_edge(START, "node")

    assert [("data", "custom", {"step": 1}), *ANSWER] == outline(await events_of(SKY, chain=builder.compile()))


class State(TypedDict, total=False):
    """What the graphs below hold; pydantic can't read it on Python 3.11."""

    question: str
    answer: str


def one_node(node: Any) -> Any:
    """A graph of one node."""
    return StateGraph(State).add_node("node", node).add_edge(START, "node").compile()


def answering(answer: Callable[[str], Any]) -> Any:
    """A node that answers the question."""

    async def node(state: State) -> dict[str, str]:
        return {"answer": str(await answer(state["question"]))}

    return node


async def say(question: str) -> str:
    """An answer without a model."""
    return SENTENCE


@pytest.mark.parametrize("kind", ["plain", "text model", "subgraph", "subgraph of a chat model"])
async def test_graph_with_a_state_of_its_own(ollama: DemoOllama, kind: str) -> None:
    """The answer of a graph comes, once, wherever in it and however it is made."""
    text_model = OllamaLLM(model="demo:one-chunk", base_url=ollama.url, client_kwargs=CLOSE)
    chain = one_node(
        {
            "plain": lambda: answering(say),
            "text model": lambda: answering(text_model.ainvoke),
            "subgraph": lambda: one_node(answering(say)),
            "subgraph of a chat model": lambda: one_node(
                answering((model("demo:one-chunk") | StrOutputParser()).ainvoke)
            ),
        }[kind]()
    )

    assert ANSWER == outline(await events_of(SKY, chain=chain))
    assert ANSWER == outline(await events_of({"question": SKY}, chain=chain))


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
