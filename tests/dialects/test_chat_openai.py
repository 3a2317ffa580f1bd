"""LangChain's `ChatOpenAI` against OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from tests.support.npm import EXACT
from tests.support.serving import Served


@pytest.fixture
def chat(served: Served) -> Callable[..., ChatOpenAI]:
    """LangChain's client."""
    return lambda **options: ChatOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, **options)


def test_chat_openai_streams(chat: Callable[..., ChatOpenAI], upstream: DemoOllama) -> None:
    """ChatOpenAI gives the exact text and the usage; thoughts, for which it has no place, stay out of the text."""
    upstream.answers["Why?"] = EXACT
    whole = AIMessageChunk(content="")
    for chunk in chat(model="demo", stream_usage=True).stream("Why?"):
        whole += chunk
    assert EXACT == whole.content
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] > 0
    assert SENTENCE == chat(model="demo:thinking", reasoning_effort="high").invoke("Why?").content


def test_chat_openai_tools(chat: Callable[..., ChatOpenAI]) -> None:
    """Tools bound to ChatOpenAI are called, and their results answered from."""

    @tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return "Sunny"

    model = chat(model="demo:tool-call").bind_tools([get_weather])
    asked: list[Any] = [HumanMessage("Weather?")]
    call = model.invoke(asked)
    assert isinstance(call, AIMessage)
    assert [("get_weather", {"city": "Paris"})] == [(each["name"], each["args"]) for each in call.tool_calls]
    assert SENTENCE == model.invoke([*asked, call, ToolMessage("Sunny", tool_call_id=call.tool_calls[0]["id"])]).content


def test_chat_openai_errors(chat: Callable[..., ChatOpenAI]) -> None:
    """A model that isn't there raises, and so does an answer that broke off, after what came."""
    with pytest.raises(openai.NotFoundError, match="ollama pull nobody"):
        chat(model="nobody").invoke("Why?")
    for model in ("demo:error-line", "demo:no-done"):
        pieces: list[str] = []
        with pytest.raises(openai.APIError, match="broke off"):
            pieces.extend(str(chunk.content) for chunk in chat(model=model).stream("Why?"))
        assert SENTENCE.startswith("".join(pieces))
        assert "".join(pieces)


def test_chat_openai_leaving(chat: Callable[..., ChatOpenAI], upstream: DemoOllama) -> None:
    """Closing its stream frees the model at once."""
    stream = chat(model="demo:endless-200").stream("Why?")
    for _, _ in zip(range(5), stream, strict=False):
        pass
    stream.close()  # type: ignore[attr-defined]
    assert upstream.wait_idle(timeout_s=2)
