"""What the generator tells while it works, and to whom."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.globals import set_debug
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import (
    RunnableLambda,
    RunnableParallel,
)
from langchain_core.tracers.context import collect_runs
from langchain_ollama import ChatOllama
from langsmith import tracing_context

import llmstream
from llmstream.chain import StrictChatOllama
from llmstream.core.generator import make_job
from llmstream.demo_ollama import DemoOllama
from llmstream.events import Event, Started, Status, Token
from llmstream.settings import Settings
from tests.support.answering import ANSWER, CLOSE, PROMPT, events_of, listened_to, outline
from tests.support.asked_chains import own, strict

pytestmark = pytest.mark.usefixtures("ollama")


@pytest.mark.parametrize("thinking", [None, True, False])
async def test_default_chain_is_read_straight(ollama: DemoOllama, thinking: bool | None) -> None:
    """The default chain, and prompt and model, go the fast way; a listener or another part leads through LangChain."""
    straight = [
        await make_job("hi", model="demo-thinking", thinking=thinking),
        await make_job("hi", chain=strict("demo")),
        await make_job("hi", chain=StrictChatOllama(model="demo")),
        await make_job("hi", chain=PROMPT | StrictChatOllama(model="demo").bind(stop=["x"])),
        await make_job("hi", chain=own("demo", ollama.url)),
    ]
    around = [
        await make_job("hi", chain=strict("demo", callbacks=[BaseCallbackHandler()])),
        await make_job("hi", chain=listened_to(strict("demo"))),
        await make_job("hi", chain=listened_to(own("demo", ollama.url))),
    ]

    assert [True] * 5 == [job.fast is not None for job in straight]
    assert [True] * 3 == [job.fast is None for job in around]


@contextmanager
def debugging() -> Iterator[None]:
    """With LangChain's debug output."""
    set_debug(True)
    try:
        yield
    finally:
        set_debug(False)


@pytest.mark.parametrize(
    "listening",
    [
        get_usage_metadata_callback,
        collect_runs,
        debugging,
        lambda: tracing_context(enabled=True),
    ],
    ids=["usage", "runs", "debug", "tracing"],
)
async def test_whoever_listens_hears_the_call(ollama: DemoOllama, listening: Any) -> None:
    """Where something around the call listens, by any of LangChain's ways, the chain goes through LangChain."""
    assert (await make_job("hi", chain=strict("demo"))).fast is not None
    with listening():
        assert (await make_job("hi", chain=strict("demo"))).fast is None
    assert (await make_job("hi", chain=strict("demo", verbose=True))).fast is None

    async def within(question: str) -> bool:
        return (await make_job(question, chain=strict("demo"))).fast is None

    assert not await RunnableLambda(within).ainvoke("hi")
    assert await RunnableLambda(within).ainvoke("hi", {"callbacks": [BaseCallbackHandler()]})


@pytest.mark.parametrize(
    ("loaded", "state", "detail"), [(False, "loading", "Loading demo:slow-1.5 into memory."), (True, "waiting", "")]
)
async def test_waiting_is_told(ollama: DemoOllama, loaded: bool, state: str, detail: str) -> None:
    """Where nothing comes for a while, the person is told whether the model is being loaded or busy."""
    if loaded:
        await events_of(model="demo:slow-1.5")
    started, status, *rest = await events_of(model="demo:slow-1.5")

    assert isinstance(started, Started)
    assert isinstance(status, Status)
    assert state == status.state
    assert status.detail.startswith(detail or "Waiting for the model")
    assert ANSWER == outline(rest)


async def test_first_event_tells_the_model(ollama: DemoOllama) -> None:
    """The first event names the model, before Ollama has said a word."""
    events = llmstream.astream_events("hi", model="demo:silent")
    first = await anext(events)
    await events.aclose()

    assert isinstance(first, Started)
    assert "demo:silent" == first.model


async def test_slow_consumer_loses_nothing(ollama: DemoOllama) -> None:
    """Whoever reads slowly gets everything, in its order."""
    events: list[Event] = []
    async for event in llmstream.astream_events("hi", model="demo:tokens-500"):
        events.append(event)
        await asyncio.sleep(0)

    assert [f" {number}" for number in range(1, 501)] == [event.text for event in events if isinstance(event, Token)]


@pytest.mark.parametrize("parser", [False, True])
@pytest.mark.parametrize("asked", [{"other": "hi"}, {"question": 5, "messages": 5}])
async def test_input_that_does_not_fit_is_a_failure(ollama: DemoOllama, parser: bool, asked: dict[str, Any]) -> None:
    """A dict that lacks what the prompt wants ends in a terminal event, whichever way the chain takes."""
    prompt = ChatPromptTemplate([("placeholder", "{messages}"), ("human", "{question}")])
    chain = prompt | StrictChatOllama(model="demo")
    events = await events_of(asked, chain=chain | StrOutputParser() if parser else chain)

    assert [("failed", "chain_failed", False)] == outline(events)


async def test_models_side_by_side_have_limits_of_their_own(ollama: DemoOllama) -> None:
    """One model's end does not shorten the time that another one may take to its first token."""
    quick, slow = (ChatOllama(model=name, client_kwargs=CLOSE) for name in ("demo:one-chunk", "demo:slow-2.5"))
    chain = RunnableParallel(answer=quick | StrOutputParser(), other=slow | StrOutputParser())
    settings = Settings.load(token_timeout_s=1.5, first_token_timeout_s=20)

    assert ("finished", "stop") == outline(await events_of("hi", chain=chain, settings=settings))[-1]
