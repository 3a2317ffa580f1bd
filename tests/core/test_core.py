"""The generator: leaving it, its sync twins, many at once, and what goes in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest
from langchain_core.runnables import (
    Runnable,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
)
from langchain_ollama import ChatOllama

import llmstream
from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from tests.support.answering import CLOSE, events_of, outline
from tests.support.asked_chains import CHAINS, arguments, idle

pytestmark = pytest.mark.usefixtures("ollama")


@pytest.mark.parametrize("model", ["demo:stall-3", "demo:endless-1000"])
@pytest.mark.parametrize("name", CHAINS)
async def test_closing_stops_the_model(ollama: DemoOllama, name: str, model: str) -> None:
    """Closing the generator after any token closes every connection to Ollama, whatever the chain."""
    for count in (1, 2, 3):
        taken = 0
        async with aclosing(llmstream.astream("hi", **arguments(name, model, ollama.url))) as pieces:
            async for piece in pieces:
                taken += len(piece.split())
                if taken >= count:
                    break
        assert await idle(ollama)
    assert all(request.closed for request in ollama.requests if request.path == "/api/chat")


@pytest.mark.parametrize("model", ["demo:silent", "demo:stall-3"])
@pytest.mark.parametrize("name", CHAINS)
async def test_cancelling_stops_the_model(ollama: DemoOllama, name: str, model: str) -> None:
    """So does cancelling the task that reads, also before the first token."""
    task = asyncio.create_task(events_of(**arguments(name, model, ollama.url)))
    assert await asyncio.to_thread(ollama.wait_active)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await idle(ollama)


def careless(ask: Callable[[], Coroutine[Any, Any, Any]]) -> tuple[Runnable[Any, Any], list[asyncio.Task[Any]]]:
    """A chain that starts a task of its own and does not wait for it."""
    tasks: list[asyncio.Task[Any]] = []

    async def begin(questions: AsyncIterator[Any]) -> AsyncIterator[str]:
        tasks.append(asyncio.create_task(ask()))
        yield "Begun"
        await asyncio.Event().wait()

    return RunnableGenerator(begin), tasks


@pytest.mark.parametrize("model", [StrictChatOllama, ChatOllama])
async def test_a_branch_that_begins_after_the_end_asks_no_model(ollama: DemoOllama, model: type[ChatOllama]) -> None:
    """LangChain leaves its branches behind; one that had not begun when its run was left is ended as it begins."""
    left = asyncio.Event()
    answer = RunnableParallel(answer=model(model="demo:stall-3", base_url=ollama.url, client_kwargs=CLOSE))

    async def ask() -> None:
        await left.wait()
        async for _ in answer.astream("hi"):
            pass

    chain, tasks = careless(ask)
    async with aclosing(llmstream.astream("hi", chain=chain)) as pieces:
        assert "Begun" == await anext(pieces)
    left.set()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert await idle(ollama)


async def test_a_task_of_ones_own_goes_on_after_the_end(ollama: DemoOllama) -> None:
    """Others may wait for what it asks for."""
    left = asyncio.Event()

    async def ask() -> str:
        await left.wait()
        return str((await StrictChatOllama(model="demo:one-chunk", base_url=ollama.url).ainvoke("hi")).content)

    chain, tasks = careless(ask)
    async with aclosing(llmstream.astream("hi", chain=chain)) as pieces:
        assert "Begun" == await anext(pieces)
    left.set()
    assert SENTENCE == await tasks[0]


async def test_a_chain_that_waits_for_what_is_cancelled_has_failed() -> None:
    """Nobody cancelled the run, so it ends with `failed` like one whose chain raises."""

    async def chain(question: object) -> str:
        waits: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waits.cancel()
        return await waits

    assert [("failed", "chain_failed", False)] == outline(
        [e async for e in llmstream.astream_events("hi", chain=chain)]
    )


@pytest.mark.parametrize("name", ["default", "parser", "assign"])
async def test_dropping_stops_the_model(ollama: DemoOllama, name: str) -> None:
    """So does leaving the loop, when nobody holds the generator any longer."""
    async for _ in llmstream.astream("hi", **arguments(name, "demo:stall-3", ollama.url)):
        break

    assert await idle(ollama)


@pytest.mark.parametrize("name", ["default", "parser", "assign"])
async def test_closing_what_was_kept_stops_the_model(ollama: DemoOllama, name: str) -> None:
    """Leaving the loop while the generator is held leaves the model at work; closing the generator stops it."""
    pieces = llmstream.astream("hi", **arguments(name, "demo:stall-3", ollama.url))
    async for _ in pieces:
        break
    assert 1 == ollama.active
    await pieces.aclose()

    assert await idle(ollama)


@pytest.mark.parametrize("name", ["default", "parser", "assign"])
def test_the_end_of_the_loop_stops_the_model(ollama: DemoOllama, name: str) -> None:
    """A generator that is held beyond its event loop is closed with the loop."""
    held: list[AsyncIterator[str]] = []

    async def leave() -> None:
        held.append(llmstream.astream("hi", **arguments(name, "demo:stall-3", ollama.url)))
        async for _ in held[0]:
            break
        assert 1 == ollama.active

    asyncio.run(leave())

    assert ollama.wait_idle(timeout_s=1)


@pytest.mark.parametrize("name", ["parallel", "assign", "parser"])
async def test_failing_stops_the_models(ollama: DemoOllama, name: str) -> None:
    """Where one part of a chain fails, the models of the other parts stop, also while the error is held."""

    async def fail(value: Any) -> str:
        await asyncio.to_thread(ollama.wait_active)
        raise ValueError("no")

    async def fail_late(pieces: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for _ in pieces:
            raise ValueError("no")
        yield ""

    chain = CHAINS[name]("demo:stall-3", ollama.url)
    failing = RunnableParallel(answer=chain, other=RunnableLambda(fail)) if name == "parallel" else chain | fail_late
    with pytest.raises(llmstream.LlmstreamError) as caught:
        async for _ in llmstream.astream("hi", chain=failing):
            pass

    assert await idle(ollama)
    assert isinstance(caught.value.__cause__, ValueError)
