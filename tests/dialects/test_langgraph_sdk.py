"""`langgraph_sdk`, the client of LangChain's Agent Streaming Protocol that people use in Python."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from langgraph_sdk import get_client

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.npm import EXACT
from tests.support.serving import Serve, Served


@asynccontextmanager
async def sdk(served: Served, thread: str | None = None, **headers: str) -> AsyncIterator[Any]:
    """A thread of `langgraph_sdk`."""
    async with (
        get_client(url=served.url, api_key=None, headers=headers) as client,
        client.threads.stream(thread, assistant_id="agent") as stream,
    ):
        yield stream


async def paused(thread: Any) -> Any:
    """What a thread of `langgraph_sdk` is asked; it has no event for that, and ends its iterators at a pause."""
    async with asyncio.timeout(10):
        while not thread.interrupts:  # noqa: ASYNC110
            await asyncio.sleep(0)
    (asked,) = thread.interrupts
    return asked


async def test_sdk_gets_the_exact_text(served: Served, upstream: DemoOllama) -> None:
    """Messages, the values and the output of Python's client are what the model said."""
    upstream.answers["Why?"] = EXACT
    async with sdk(served) as thread:
        await thread.run.start(input={"messages": [{"type": "human", "content": "Why?"}]})
        (message,) = [each async for each in thread.messages]
        assert EXACT == await message.text
        values = await thread.output
    assert ["Why?", EXACT] == [each["content"] for each in values["messages"]]


async def test_sdk_answers_what_a_graph_asks(asking: Served) -> None:
    """A pause, a client that comes back in it, an answer, and the tool's result."""
    async with sdk(asking, "mail") as thread:
        await thread.run.start(input={"messages": [{"type": "human", "content": "Mail ann."}]})
        first = await paused(thread)
    async with sdk(asking, "mail") as thread:  # a program that knows the thread's name only
        assert first == await paused(thread)
        assert "send_mail" == first["value"]["action_requests"][0]["name"]
        await thread.run.respond({"decisions": [{"type": "approve"}]})
        values = await thread.output
    assert ["human", "ai", "tool", "ai"] == [each["type"] for each in values["messages"]]
    assert "The mail was sent to ann." == values["messages"][-1]["content"]


async def test_sdk_sees_a_failure(served: Served) -> None:
    """An answer that broke off is an error, not a short answer."""
    async with sdk(served) as thread:
        given = {"messages": [{"type": "human", "content": "Why?"}]}
        await thread.run.start(input=given, config={"configurable": {"model": "demo:no-done"}})
        with pytest.raises(RuntimeError, match="broke off"):
            await thread.output


async def test_sdk_stops_a_run(serve: Serve, settings: Settings, upstream: DemoOllama) -> None:
    """Its cancel frees the model, and whoever waits for the answer is told."""
    served = serve(create_app(settings.change(model="demo:endless-100")))
    async with (
        get_client(url=served.url, api_key=None) as client,
        client.threads.stream("s", assistant_id="agent") as thread,
    ):
        begun = await thread.run.start(input={"messages": [{"type": "human", "content": "Why?"}]})
        await client.runs.cancel("s", begun["run_id"], wait=True)
        with pytest.raises(RuntimeError, match="was stopped"):
            await thread.output
    assert await asyncio.to_thread(upstream.wait_idle)
