"""Chains of every kind on one Ollama."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import (
    Runnable,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_ollama import ChatOllama
from langgraph.graph import START, MessagesState, StateGraph

from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama import DemoOllama
from tests.support.answering import CLOSE, PROMPT, listened_to

Make = Callable[[str, str], Any]


def strict(model: str, **fields: Any) -> Runnable[Any, Any]:
    """The model that streams through the reader."""
    return PROMPT | StrictChatOllama(model=model, **fields)


def own(model: str, url: str) -> Runnable[Any, Any]:
    """A person's own model."""
    chain: Runnable[Any, Any] = PROMPT | ChatOllama(model=model, base_url=url, client_kwargs=CLOSE) | StrOutputParser()
    return chain


async def passing(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    """Passes everything on."""
    async for piece in pieces:
        yield piece


def graph(model: str, url: str) -> Any:
    """A graph of one node."""
    chat_model = StrictChatOllama(model=model)

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await chat_model.ainvoke(state["messages"])]}

    return StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile()


CHAINS: dict[str, Make] = {
    "default": lambda model, url: None,
    "model": lambda model, url: strict(model),
    "callback": lambda model, url: strict(model, callbacks=[BaseCallbackHandler()]),
    "parser": lambda model, url: strict(model) | StrOutputParser(),
    "ChatOllama": own,
    "ChatOllama-callback": lambda model, url: listened_to(own(model, url)),
    "before": lambda model, url: {"question": RunnablePassthrough()} | own(model, url),
    "assign": lambda model, url: RunnableParallel(question=RunnablePassthrough()).assign(
        answer=strict(model) | StrOutputParser()
    ),
    "assign-ChatOllama": lambda model, url: RunnableParallel(question=RunnablePassthrough()).assign(
        answer=own(model, url)
    ),
    "parallel": lambda model, url: RunnableParallel(answer=own(model, url), text=strict(model) | StrOutputParser()),
    "fallbacks": lambda model, url: (strict(model) | StrOutputParser()).with_fallbacks([own(model, url)]),
    "generator": lambda model, url: strict(model) | StrOutputParser() | RunnableGenerator(passing),
    "lambda": lambda model, url: RunnableLambda(lambda question: strict(model) | StrOutputParser()),
    "graph": graph,
}


def arguments(name: str, model: str, url: str) -> dict[str, Any]:
    """How to ask that chain."""
    chain = CHAINS[name](model, url)
    return {"model": model} if chain is None else {"chain": chain}


async def idle(ollama: DemoOllama) -> bool:
    """Whether Ollama has nothing to do within a second."""
    return await asyncio.to_thread(ollama.wait_idle, timeout_s=1)
