"""Chains whose model is read straight from Ollama: which ones are, and that nobody can tell from the events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, adispatch_custom_event
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import (
    Runnable,
    RunnableConfig,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_ollama import ChatOllama

from llmstream.chain import StrictChatOllama
from llmstream.core.generator import make_job
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.events import Finished
from tests.support.answering import PROMPT, events_of, facts, listened_to, outline

Chain = Runnable[Any, Any]
Make = Callable[[Any], Any]
RAG_PROMPT = ChatPromptTemplate.from_template("From this: {context}\n\nAnswer: {question}")
SKY = {"title": "sky.md", "url": None, "excerpt": "Air scatters blue light."}


@pytest.fixture(autouse=True)
def ollama(upstream: DemoOllama, monkeypatch: pytest.MonkeyPatch) -> DemoOllama:
    """The demo Ollama in the environment."""
    monkeypatch.setenv("OLLAMA_HOST", upstream.url)
    return upstream


def usual(model: str = "demo:one-chunk", **fields: Any) -> ChatOllama:
    """LangChain's own model."""
    return ChatOllama(model=model, **fields)


DOCUMENTS = [Document("Air scatters blue light.", metadata={"source": "/notes/sky.md"})]


async def find(question: Any) -> list[Document]:
    """Documents, by a function that tells what it does."""
    await adispatch_custom_event("found", {"documents": len(DOCUMENTS)})
    return DOCUMENTS


class Finder(BaseCallbackHandler):
    """Counts the models that it hears of."""

    def __init__(self) -> None:
        self.models = 0

    def on_chat_model_start(self, *arguments: Any, **kwargs: Any) -> None:
        self.models += 1


def rewritten() -> Chain:
    """A model before the model: it thinks, and what it says is a part of the prompt only."""
    return PROMPT | StrictChatOllama(model="demo:thinking", reasoning=True) | StrOutputParser()


def as_text(documents: Any) -> Any:
    """The documents as one text."""
    return str(documents)


def choose(question: Any) -> Any:
    """A step that gives back the chain that takes its place."""
    return REWRITTEN


REWRITTEN = rewritten()


def raising(question: Any) -> Any:
    """A step that fails."""
    raise LookupError("nothing in there")


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return "sunny"


STRAIGHT: dict[str, Make] = {
    "model": lambda model: model,
    "model-parser": lambda model: model | StrOutputParser(),
    "prompt-model": lambda model: PROMPT | model,
    "usual": lambda model: PROMPT | model | StrOutputParser(),
    "passthrough": lambda model: PROMPT | model | RunnablePassthrough() | StrOutputParser(),
    "bound": lambda model: PROMPT | model.bind(stop=["x"]).with_config(tags=["x"], run_name="x") | StrOutputParser(),
    "tools": lambda model: PROMPT | model.bind_tools([get_weather]) | StrOutputParser(),
    "named": lambda model: (PROMPT | model | StrOutputParser()).with_config(run_name="x", metadata={"a": 1}),
    "retry": lambda model: (PROMPT | model.with_retry() | StrOutputParser()).with_retry(),
    "rag": lambda model: (
        {"context": RunnableLambda(find), "question": RunnablePassthrough()} | RAG_PROMPT | model | StrOutputParser()
    ),
    "assign": lambda model: (
        {"question": RunnablePassthrough()}
        | RunnablePassthrough.assign(context=RunnableLambda(find))
        | RAG_PROMPT
        | model
    ),
    "function": lambda model: RunnableLambda(lambda question: f"Answer: {question}") | model | StrOutputParser(),
    "rewritten": lambda model: {"question": rewritten()} | PROMPT | model | StrOutputParser(),
    "one-value": lambda model: RunnableLambda(find) | as_text | PROMPT | model,
    "chosen": lambda model: RunnableLambda(choose) | PROMPT | model | StrOutputParser(),
    "missing": lambda model: {"text": RunnablePassthrough()} | PROMPT | model,
    "failing": lambda model: RunnableParallel(question=raising, context=find) | RAG_PROMPT | model,
    "no-messages": lambda model: RunnableLambda(lambda question: 5) | model,
    "nothing": lambda model: RunnableGenerator(no_items) | model,
}


async def no_items(items: Any) -> Any:
    """Takes all, and yields nothing."""
    async for _ in items:
        pass
    for item in list[str]():
        yield item


FAULTS = (
    "one-chunk", "length", "thinking", "thinking-only", "empty", "no-done", "cut", "half-json", "error-line",
    "error-first", "load-always", "load-once", "stall-5", "silent", "html-200", "prompt-too-long", "prompt-cut",
    "busy-1", "newlines", "split-surrogate", "nonsense",
)  # fmt: skip
FAULTS_OF_ALL = ("one-chunk", "thinking", "error-line")


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        *[(kind, fault) for kind in STRAIGHT for fault in FAULTS_OF_ALL],
        *[(kind, fault) for kind in ("usual", "rag") for fault in FAULTS if fault not in FAULTS_OF_ALL],
        *[(kind, fault) for kind in ("tools", "prompt-model") for fault in ("tool-call", "text-tool-call")],
    ],
)
async def test_same_events_either_way(
    ollama: DemoOllama, monkeypatch: pytest.MonkeyPatch, kind: str, fault: str
) -> None:
    """A chain of LangChain's own model, read straight, tells what the strict model tells through LangChain."""
    fields: dict[str, Any] = {"model": f"demo:{fault}", "reasoning": "thinking" in fault or None}
    if fault in ("stall-5", "silent"):
        monkeypatch.setenv("LLMSTREAM_TOKEN_TIMEOUT_S", "0.3")
        monkeypatch.setenv("LLMSTREAM_FIRST_TOKEN_TIMEOUT_S", "0.8")
    with DemoOllama(tokens_per_s=None, scenarios=True) as other:  # a scenario may count its requests
        straight = STRAIGHT[kind](ChatOllama(**fields))
        around = listened_to(STRAIGHT[kind](StrictChatOllama(base_url=other.url, **fields)))
        jobs = [await make_job("hi", chain=straight), await make_job("hi", chain=around)]
        told = [await events_of(chain=straight), await events_of(chain=around)]

        assert [True, False] == [job.fast is not None for job in jobs]
        assert facts(told[1], other.url) == facts(told[0], ollama.url)


async def test_what_comes_before_is_told(ollama: DemoOllama) -> None:
    """Sources and custom events of the steps before the model come before its answer, and all models are counted."""
    rag = await events_of(chain=STRAIGHT["rag"](usual()))
    twice = await events_of(chain=STRAIGHT["rewritten"](usual()))
    last = twice[-1]

    assert [("data", "found", {"documents": 1}), ("token", SENTENCE), ("finished", "stop")] == outline(rag)
    assert [("token", SENTENCE), ("finished", "stop")] == outline(twice)
    assert isinstance(last, Finished)
    assert (22, 30) == (last.usage.input_tokens, last.usage.output_tokens)


async def test_sources_of_a_retriever(ollama: DemoOllama) -> None:
    """So do the documents that a retriever finds, and they are in the prompt."""
    retriever = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    await retriever.aadd_documents(DOCUMENTS)
    chain = {"context": retriever.as_retriever(), "question": RunnablePassthrough()} | RAG_PROMPT | usual()

    assert [("data", "sources", [SKY]), ("token", SENTENCE), ("finished", "stop")] == outline(
        await events_of(chain=chain)
    )
    assert "Air scatters blue light." in ollama.requests[-1].body["messages"][0]["content"]


async def test_a_callback_before_the_model_hears_its_own_step(ollama: DemoOllama) -> None:
    """A callback bound to a step before the model hears of that step, as ever, and is no reason to go around."""
    heard = Finder()
    chain = {"question": rewritten().with_config(callbacks=[heard])} | PROMPT | usual()

    assert (await make_job("hi", chain=chain)).fast is not None
    assert [("token", SENTENCE), ("finished", "stop")] == outline(await events_of(chain=chain))
    assert 1 == heard.models


async def test_config_reaches_what_comes_before() -> None:
    """What is bound to the whole chain is what the steps before the model are told."""

    def tenant(question: Any, config: RunnableConfig) -> dict[str, Any]:
        return {"question": config["metadata"]["tenant"]}

    chain = (RunnableLambda(tenant) | PROMPT | usual()).with_config(metadata={"tenant": "ann"})
    job = await make_job("hi", chain=chain)

    assert job.fast is not None
    assert [("token", SENTENCE), ("finished", "stop")] == outline(await events_of(chain=chain))
