"""What Python shows of an error: the lines of somebody's own code and our sentence, not our insides."""

from __future__ import annotations

import json
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from langchain_ollama import ChatOllama

import llmstream
from llmstream.client import Client
from llmstream.errors import ChainFailed, UpstreamUnreachable

NOBODY = "http://127.0.0.1:9"


def settings() -> llmstream.Settings:
    return llmstream.Settings(ollama_url=NOBODY)


def own_step(question: str) -> Any:
    return ChatOllama(model="m", base_url=NOBODY).invoke(question)


def broken_step(question: str) -> Iterator[str]:
    yield "One"
    json.loads("{")


def shown(error: BaseException | None) -> list[str]:
    """The functions that Python shows of an error."""
    return [frame.name for frame in traceback.extract_tb(error.__traceback__ if error else None)]


@pytest.mark.parametrize(
    "ask",
    [
        lambda: list(llmstream.stream("Hi", settings=settings())),
        lambda: list(llmstream.stream("Hi", chain=ChatOllama(model="m", base_url=NOBODY) | (lambda said: said))),
        lambda: list(Client(NOBODY).stream("Hi")),
        lambda: Client(NOBODY).start("Hi"),
    ],
    ids=["default", "chain", "client", "client start"],
)
def test_our_insides_are_not_shown(ask: Callable[[], object]) -> None:
    """Without Ollama there is one traceback, of a few lines, and the sentence."""
    with pytest.raises(UpstreamUnreachable) as caught:
        ask()
    told = "".join(traceback.format_exception(caught.value))
    assert (1, True) == (told.count("Traceback"), len(told.splitlines()) < 16), told
    assert caught.value.__context__ is not None  # a debugger finds what it failed of


async def test_async_code_sees_as_little() -> None:
    """The same of `astream`, and of a run."""

    async def read(answer: AsyncIterator[str]) -> None:
        async for _ in answer:
            pass

    with pytest.raises(UpstreamUnreachable) as caught:
        await llmstream.Runs(settings()).start("Hi")
    assert "start" == shown(caught.value)[-1]
    with pytest.raises(UpstreamUnreachable) as caught:
        await read(llmstream.astream("Hi", settings=settings()))
    assert "read" == shown(caught.value)[-2]
    assert 1 == "".join(traceback.format_exception(caught.value)).count("Traceback")


def test_the_step_that_asked_is_shown() -> None:
    """Where a model failed inside of a chain, the line of that chain is there, without what lies below."""
    with pytest.raises(UpstreamUnreachable) as caught:
        list(llmstream.stream("Hi", chain=own_step))
    assert ("own_step", None) == (shown(caught.value)[-1], caught.value.__cause__)


def test_an_error_of_somebodys_own_step_is_whole(caplog: pytest.LogCaptureFixture) -> None:
    """It is shown from that step on, with the library's lines below; the log names that step's line."""
    with pytest.raises(ChainFailed) as caught:
        list(llmstream.stream("Hi", chain=broken_step))
    assert ["broken_step", "loads", "decode"] == shown(caught.value.__cause__)[:3]
    assert "JSONDecodeError at " + __file__ in caplog.text
