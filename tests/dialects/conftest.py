"""The servers that most clients of a dialect ask, and such clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.asking_graphs import mail_graph
from tests.support.histories import Sent
from tests.support.serving import Serve, Served

if TYPE_CHECKING:
    import anthropic
    import openai


@pytest.fixture
def served(serve: Serve, settings: Settings) -> Served:
    """A server over the default chain."""
    return serve(create_app(settings.change(model="demo")))


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    """OpenAI's own client; a file of another dialect has another one."""
    import openai

    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture
def asking(serve: Serve, settings: Settings) -> Served:
    """A server over a graph that asks before it sends a mail."""
    return serve(create_app(settings, chain=mail_graph()))


@pytest.fixture
def keeping(serve: Serve, settings: Settings) -> tuple[Served, list[Any]]:
    """A server over a chain that keeps the messages that it is given, and these."""
    got: list[Any] = []

    def keep(prompt: PromptValue) -> str:
        got.extend(prompt.to_messages())
        return "Seen."

    chain = ChatPromptTemplate([MessagesPlaceholder("messages")]) | RunnableLambda(keep)
    return serve(create_app(settings, chain=chain)), got


@pytest.fixture
def ask(settings: Settings) -> Callable[..., Awaitable[httpx.Response]]:
    """Asks an endpoint of an app over the demo's models."""

    async def post(path: str, body: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post(path, json=body)

    return post


@pytest.fixture
def sent(ask: Callable[..., Awaitable[httpx.Response]], upstream: DemoOllama) -> Sent:
    """The messages that reach the model for a request, which must be answered."""

    async def messages(path: str, body: Any) -> list[dict[str, Any]]:
        answer = await ask(path, body)
        assert answer.is_success, answer.text
        found = [record.body for record in upstream.requests if record.path == "/api/chat"][-1]
        return list(found["messages"])

    return messages


@pytest.fixture
def claude(served: Served) -> Iterator[anthropic.Anthropic]:
    """Anthropic's own client."""
    import anthropic

    with anthropic.Anthropic(base_url=served.url, api_key="none", max_retries=0) as made:
        yield made
