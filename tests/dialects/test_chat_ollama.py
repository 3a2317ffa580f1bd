"""LangChain's `ChatOllama` against `/ollama`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ollama
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama

from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from tests.support.serving import Served


@pytest.fixture
def chat_ollama(served: Served) -> Iterator[Callable[..., ChatOllama]]:
    """LangChain's client; it leaves its connections open, so they are closed here."""
    made: list[ChatOllama] = []

    def make(kind: type[ChatOllama] = ChatOllama, **options: Any) -> ChatOllama:
        made.append(kind(base_url=f"{served.url}/ollama", **options))
        return made[-1]

    yield make
    for model in made:
        model._client._client.close()


def test_chat_ollama(chat_ollama: Callable[..., ChatOllama]) -> None:
    """LangChain's ChatOllama and our own stream from it."""
    for kind in (ChatOllama, StrictChatOllama):
        answer = chat_ollama(kind, model="demo:thinking", reasoning=True).invoke("Why?")
        assert SENTENCE == answer.content
        assert "Let me think." == answer.additional_kwargs["reasoning_content"]


def test_chat_ollama_errors(chat_ollama: Callable[..., ChatOllama]) -> None:
    """An answer that broke off raises in ChatOllama, which by itself takes any end for the end of an answer."""
    for model in ("demo:error-line", "demo:no-done"):
        with pytest.raises(ollama.ResponseError, match="broke off"):
            chat_ollama(model=model).invoke("Why?")


def test_chat_ollama_tools(chat_ollama: Callable[..., ChatOllama]) -> None:
    """Tools bound to ChatOllama are called, and their results answered from."""

    @tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return "Sunny"

    model = chat_ollama(model="demo:tool-call").bind_tools([get_weather])
    call = model.invoke("Weather?")
    assert isinstance(call, AIMessage)
    assert [("get_weather", {"city": "Paris"})] == [(each["name"], each["args"]) for each in call.tool_calls]
    result = ToolMessage("Sunny", tool_call_id=call.tool_calls[0]["id"])
    assert SENTENCE == model.invoke([HumanMessage("Weather?"), call, result]).content
