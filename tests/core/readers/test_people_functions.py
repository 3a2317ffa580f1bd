"""Functions and generators in the chains people have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import (
    RunnableGenerator,
    RunnableLambda,
)

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from tests.support.answering import ANSWER, PROMPT, events_of, outline
from tests.support.sky import SKY, model

pytestmark = pytest.mark.usefixtures("sky")


async def upper(tokens: AsyncIterator[str]) -> AsyncIterator[str]:
    """A step that passes pieces on."""
    async for token in tokens:
        yield token.upper()


def sync_upper(tokens: Iterator[str]) -> Iterator[str]:
    """The same for sync code."""
    for token in tokens:
        yield token.upper()


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
