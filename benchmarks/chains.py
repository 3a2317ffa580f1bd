"""Chains as people write them: CPU of the server process per token, one stream at full speed."""

from __future__ import annotations

import os
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from typing import Any, TypedDict

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnablePassthrough
from langchain_ollama import ChatOllama, OllamaLLM
from langgraph.graph import START, StateGraph

from benchmarks.processes import MODEL, server, upstream
from benchmarks.report import percentile, table, target
from benchmarks.throughput import cpu_us
from llmstream.chain import StrictChatOllama

_PROMPT = ChatPromptTemplate.from_template("{question}")
_RAG_PROMPT = ChatPromptTemplate.from_template("From this: {context}\n\nAnswer: {question}")


class _Retriever(BaseRetriever):
    """Finds one document, whatever is asked."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document("Air scatters blue light.", metadata={"title": "Sky"})]


class _State(TypedDict, total=False):
    question: str
    answer: str


def _usual() -> Any:
    return _PROMPT | ChatOllama(model=MODEL) | StrOutputParser()


def _rag() -> Any:
    variables: Any = {"context": _Retriever(), "question": RunnablePassthrough()}
    return variables | _RAG_PROMPT | ChatOllama(model=MODEL) | StrOutputParser()


def _fallback() -> Any:
    model: Any = ChatOllama(model=MODEL)
    return _PROMPT | model.with_fallbacks([ChatOllama(model=MODEL)]) | StrOutputParser()


async def _upper(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    async for piece in pieces:
        yield piece.upper()


def _community() -> Any:
    with warnings.catch_warnings(action="ignore"):  # it says that it is deprecated
        from langchain_community.llms import Ollama

        return _PROMPT | Ollama(model=MODEL, base_url=f"http://{os.environ['OLLAMA_HOST']}") | StrOutputParser()


def _graph(model: ChatOllama) -> Any:
    chain = _PROMPT | model | StrOutputParser()

    async def node(state: _State) -> _State:
        return {"answer": await chain.ainvoke({"question": state["question"]})}

    return StateGraph(_State).add_node("node", node).add_edge(START, "node").compile()


# The chains that `benchmarks.serve` serves by these names.
CHAINS: dict[str, Callable[[], Any]] = {
    "llmstream": lambda: None,
    "prompt, ChatOllama, StrOutputParser": _usual,
    "RAG": _rag,
    "prompt, OllamaLLM": lambda: _PROMPT | OllamaLLM(model=MODEL) | StrOutputParser(),
    "prompt, langchain_community's Ollama": _community,
    "prompt, ChatOllama with fallbacks, StrOutputParser": _fallback,
    "prompt, ChatOllama, a generator": lambda: _PROMPT | ChatOllama(model=MODEL) | StrOutputParser() | _upper,
    "graph, llmstream's ChatOllama": lambda: _graph(StrictChatOllama(model=MODEL)),
    "graph, LangChain's ChatOllama": lambda: _graph(ChatOllama(model=MODEL)),
}
_STRAIGHT = list(CHAINS)[1:5]
_OTHERS = ("pass-through", "usual way")
_SLOW = ("usual way", "graph, LangChain's ChatOllama")


def run(*, quick: bool) -> None:
    """Best and median of several answers, the servers taking turns."""
    repeats = 3 if quick else 9
    names = (*_OTHERS, *CHAINS)
    tokens = {name: 100_000 // (4 if quick else 1) // (10 if name in _SLOW else 1) for name in names}
    figures: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        source = stack.enter_context(upstream())
        processes = {name: stack.enter_context(server(name, source, LLMSTREAM_REPLAY_S="1")) for name in names}
        for number in range(repeats + 1):
            for name, process in processes.items():
                took_us = cpu_us(process, tokens[name])
                if number:  # the first answer warms it up
                    figures[name].append(took_us)
    medians = {name: percentile(figures[name], 50) for name in names}
    default = medians["llmstream"]
    table(
        "Chains as people write them: CPU per token, one stream at full speed",
        ("server or chain", "best, µs", "median, µs", "× default chain"),
        [
            ("default" if name == "llmstream" else name, min(figures[name]), medians[name], medians[name] / default)
            for name in names
        ],
    )
    for name in _STRAIGHT:
        target(f"{name} beside the default chain", medians[name] / default, 1.5, "times")
    for name in ("graph, llmstream's ChatOllama", "prompt, ChatOllama, a generator"):
        target(name, medians[name], 10, "µs")


if __name__ == "__main__":
    run(quick=False)
