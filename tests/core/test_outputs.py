"""What a chain emits and how it fails: as events that JSON can hold, and in words that give nothing away."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import (
    RunnableGenerator,
    RunnableLambda,
)

import llmstream
from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama import DemoOllama
from llmstream.errors import InvalidRequest
from llmstream.events import Failed, to_dict
from tests.support.answering import DOCUMENTS, PROMPT, SOURCES, events_of, outline


@pytest.fixture(autouse=True)
def ollama(upstream: DemoOllama, monkeypatch: pytest.MonkeyPatch) -> DemoOllama:
    """The demo Ollama, which chains find in the environment."""
    monkeypatch.setenv("OLLAMA_HOST", upstream.url)
    return upstream


@dataclass
class Odd:
    """What no JSON encoder knows."""

    value: Any


class Stubborn:
    """What can't even be printed."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("emitted", "rows"),
    [
        ({"a": 1, "b": [1.5, None, True]}, [("data", "a", 1), ("data", "b", [1.5, None, True])]),
        ({"a": math.nan, "b": math.inf}, [("data", "a", None), ("data", "b", None)]),
        ({"a": 10**40}, [("data", "a", str(10**40))]),
        ({"a": -(2**63) + 1}, [("data", "a", -(2**63) + 1)]),
        ({"a": {1: "x\ud83d"}}, [("data", "a", {"1": "x\ufffd"})]),
        ({"a": Odd({1})}, [("data", "a", {"value": [1]})]),
        ({"a": b"x"}, [("data", "a", "b'x'")]),
        ({"a": None}, []),
        (5, [("data", "item", 5)]),
        ([], [("data", "item", [])]),
        (None, []),
        (DOCUMENTS[0], [("data", "sources", SOURCES[:1])]),
        (DOCUMENTS, [("data", "sources", SOURCES)]),
        ({"documents": DOCUMENTS, "answer": "x"}, [("data", "sources", SOURCES), ("token", "x")]),
        (ToolMessage("18", tool_call_id="a"), [("tool_result", "18"), ("token", "18")]),
        (AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "a"}]), [("tool_call", "f", {})]),
        (AIMessage("x", additional_kwargs={"reasoning_content": "y"}), [("reasoning", "y"), ("token", "x")]),
        (AIMessage([{"type": "reasoning", "reasoning": "y"}, {"type": "text", "text": "x"}]),
         [("reasoning", "y"), ("token", "x")]),
        (AIMessageChunk(content="x"), [("token", "x")]),
        ("a\ud83d", [("token", "a\ufffd")]),
        ({"messages": [HumanMessage("x")], "answer": "y"}, [("token", "y")]),
    ],
)  # fmt: skip
async def test_whatever_a_chain_emits(emitted: Any, rows: list[Any]) -> None:
    """Text is the answer, documents are sources, all else is data that JSON can hold."""
    events = await events_of("hi", chain=RunnableLambda(lambda question: emitted))
    end = "tool_calls" if isinstance(emitted, AIMessage) and emitted.tool_calls else "stop"

    assert [*rows, ("finished", end)] == outline(events)
    json.dumps([to_dict(event) for event in events], allow_nan=False).encode()
    msgspec.json.encode(events)


@pytest.mark.parametrize(
    ("emitted", "told"),
    [(Stubborn(), "<Stubborn>"), (10**5000, "<int>"), (Odd, str(Odd)), (object, str(object))],
    ids=["no text", "huge", "dataclass", "class"],
)
async def test_what_can_not_be_told(emitted: Any, told: str) -> None:
    """What has no text is told by its class, and what is a class by its name."""
    rows = outline(await events_of("hi", chain=RunnableLambda(lambda question: {"a": emitted})))

    assert [("data", "a", told), ("finished", "stop")] == rows


async def test_what_holds_itself() -> None:
    """A value that holds itself is told to a limited depth."""
    rows = outline(await events_of("hi", chain=RunnableLambda(lambda question: {"a": LOOP})))

    assert ("finished", "stop") == rows[-1]
    assert 32 >= str(rows[0][2]).count("[") - 2


SECRET = "postgres://ann:secret@db/x at /home/ann/chain.py"


class OwnError(Exception):
    """An error of a chain's own."""


async def failing(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    """Passes the third token on, alone or with others, then fails."""
    async for piece in pieces:
        yield piece
        if "3" in piece:
            raise OwnError(SECRET)


async def test_chain_that_raises(ollama: DemoOllama, caplog: pytest.LogCaptureFixture) -> None:
    """The person reads an id and nothing else; the log has the text under that id; what came before is kept."""
    chain = PROMPT | StrictChatOllama(model="demo:endless-1000") | StrOutputParser() | RunnableGenerator(failing)
    events = await events_of("hi", chain=chain)
    last = events[-1]

    assert isinstance(last, Failed)
    [(_, text), failed] = outline(events)
    assert text.startswith(" 1 2 3")
    assert ("failed", "chain_failed", False) == failed
    incident = last.message.removesuffix(".").rpartition(" ")[2]
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert SECRET in record.getMessage()
    assert incident in record.getMessage()
    assert "secret" not in last.message
    assert "OwnError" not in last.message
    assert await asyncio.to_thread(ollama.wait_idle, timeout_s=1)


@pytest.mark.parametrize("is_old", [False, True], ids=["young", "old"])
async def test_a_model_in_a_cycle_is_stopped(ollama: DemoOllama, is_old: bool) -> None:
    """A generator that holds itself, and a model, is found after the chain has failed."""

    async def holding_itself(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
        itself: list[AsyncIterator[str]] = []

        async def inner() -> AsyncIterator[str]:
            async for piece in pieces:
                yield piece if itself else ""

        itself.append(inner())
        yield await anext(itself[0])
        if is_old:
            gc.collect()  # it leaves what it finds in use to the rarest of its rounds
        raise OwnError

    chain = PROMPT | StrictChatOllama(model="demo:endless-1000") | StrOutputParser() | RunnableGenerator(holding_itself)
    assert "failed" == outline(await events_of("hi", chain=chain))[-1][0]
    assert await asyncio.to_thread(ollama.wait_idle, timeout_s=5)


async def test_cause_of_what_stream_raises() -> None:
    """Code that calls the chain gets the original exception as the cause."""

    def fail(question: str) -> str:
        raise OwnError(SECRET)

    with pytest.raises(llmstream.LlmstreamError) as caught:
        await anext(llmstream.astream("hi", chain=RunnableLambda(fail)))

    assert "chain_failed" == caught.value.code
    assert isinstance(caught.value.__cause__, OwnError)


@pytest.mark.parametrize("error", [ValueError("x"), ConnectionError("x"), TimeoutError("x"), KeyError("x")])
async def test_errors_that_are_not_ollamas(error: Exception) -> None:
    """A timeout or a lost connection of the chain's own database is not told as Ollama's."""

    async def fail(question: str) -> str:
        raise error

    assert [("failed", "chain_failed", False)] == outline(await events_of("hi", chain=RunnableLambda(fail)))


async def test_own_llmstream_error_goes_through() -> None:
    """A chain may refuse in llmstream's own words."""

    async def refuse(question: str) -> str:
        raise InvalidRequest("Ask something else.")

    assert [("failed", "invalid_request", False)] == outline(await events_of("hi", chain=RunnableLambda(refuse)))
