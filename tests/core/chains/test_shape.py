"""Which chains are read straight from Ollama, and what they ask it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import RunnableLambda, RunnablePassthrough, RunnableSequence
from langchain_ollama import ChatOllama

import llmstream.chain
from llmstream.chain import StrictChatOllama
from llmstream.core.generator import make_job
from llmstream.demo_ollama import DemoOllama, Model
from tests.support.answering import CLOSE, PROMPT, events_of, listened_to


@pytest.fixture(autouse=True)
def ollama(upstream: DemoOllama, monkeypatch: pytest.MonkeyPatch) -> DemoOllama:
    """The demo Ollama in the environment."""
    monkeypatch.setenv("OLLAMA_HOST", upstream.url)
    return upstream


def usual(model: str = "demo:one-chunk", **fields: Any) -> ChatOllama:
    """LangChain's own model."""
    return ChatOllama(model=model, **fields)


class OwnChatOllama(ChatOllama):
    """Somebody's own model, of which nothing is known."""


def listening() -> list[BaseCallbackHandler]:
    """A callback that does nothing."""
    return [BaseCallbackHandler()]


AROUND: dict[str, Callable[[], Any]] = {
    "subclass": lambda: PROMPT | OwnChatOllama(model="demo"),
    "callback-of-the-model": lambda: PROMPT | usual(callbacks=listening()),
    "callback-bound-to-the-model": lambda: PROMPT | usual().with_config(callbacks=listening()) | StrOutputParser(),
    "callback-bound-to-the-parser": lambda: PROMPT | usual() | StrOutputParser().with_config(callbacks=listening()),
    "listeners": lambda: (PROMPT | usual()).with_listeners(on_end=lambda run: None),
    "verbose": lambda: PROMPT | usual(verbose=True),
    "rate-limiter": lambda: PROMPT | usual(rate_limiter=InMemoryRateLimiter()),
    "cache": lambda: PROMPT | usual(cache=InMemoryCache()),
    "no-streaming": lambda: PROMPT | usual(disable_streaming=True),
    "nostream": lambda: PROMPT | usual(tags=["nostream"]),
    "nostream-bound": lambda: (PROMPT | usual()).with_config(tags=["nostream"]),
    "function-behind": lambda: PROMPT | usual() | RunnableLambda(lambda message: message.content),
    "mapper-behind": lambda: PROMPT | usual() | RunnablePassthrough(lambda message: None),
    "bound-to-the-sequence": lambda: RunnableSequence(PROMPT, usual()).bind(stop=["x"]),
    "structured": lambda: PROMPT | usual().with_structured_output({"title": "a", "type": "object", "properties": {}}),
    "client": lambda: PROMPT | usual(client_kwargs={"http2": False}),
    "proxy": lambda: PROMPT | usual(client_kwargs={"proxy": "http://127.0.0.1:9"}),
}


@pytest.mark.parametrize("kind", AROUND)
async def test_goes_through_langchain(kind: str) -> None:
    """Where somebody listens, or a part of a chain does more than hand on, LangChain runs it."""
    assert (await make_job("hi", chain=AROUND[kind]())).fast is None


@pytest.mark.parametrize(("excepted", "straight"), [("", False), ("127.0.0.1", True)])
async def test_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch, excepted: str, straight: bool) -> None:
    """LangChain's own model obeys the proxy of the environment: where there is one for Ollama, its client is used."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", excepted)

    assert straight == ((await make_job("hi", chain=PROMPT | usual())).fast is not None)


async def test_the_same_request(ollama: DemoOllama) -> None:
    """What LangChain's own model is asked for is the same either way, also after one of its fields was changed."""
    model = usual(num_ctx=512, keep_alive="5m", base_url=ollama.url.replace("//", "//ann:secret@"), client_kwargs=CLOSE)
    chain = PROMPT | model.bind(stop=["x"]) | StrOutputParser()
    for temperature in (0.5, 0.7):
        model.temperature = temperature
        await events_of(chain=chain)
        await events_of(chain=listened_to(chain))
    asked = [request for request in ollama.requests if request.path == "/api/chat"]
    bodies = [{**request.body, "truncate": None, "tools": request.body.get("tools") or None} for request in asked]

    assert bodies[0] == bodies[1] != bodies[2] == bodies[3]
    assert [0.5, 0.5, 0.7, 0.7] == [body["options"]["temperature"] for body in bodies]


async def test_images_go_along(ollama: DemoOllama) -> None:
    """Content blocks reach Ollama as LangChain's own model sends them."""
    image = {"type": "image", "base64": "aGk=", "mime_type": "image/png"}
    question = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}]
    ollama.models["seeing:latest"] = Model("seeing:latest", ("completion", "vision"))
    job = await make_job(question, chain=usual("seeing"))

    assert job.fast is not None
    assert job.fast.body is not None
    assert [{"role": "user", "content": "\nWhat is it?", "images": ["aGk="]}] == job.fast.body["messages"]


def test_one_import_makes_a_hidden_model_strict() -> None:
    """`from llmstream.chain import ChatOllama` is all that a model needs that no chain shows."""
    assert llmstream.chain.ChatOllama is StrictChatOllama
    assert issubclass(llmstream.chain.ChatOllama, ChatOllama)
