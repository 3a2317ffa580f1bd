"""The default chain on a real Ollama's `/v1`: exact answers, thinking, tool calls, ends, what is not there."""

from __future__ import annotations

from typing import Any

import pytest

from llmstream.events import Finished
from llmstream.openai.upstream_from_settings import upstream_of
from llmstream.settings import Settings
from tests.support.answering import events_of, outline
from tests.support.real_ollama import RealOllama

SKY = "What color is the sky?"
SKY_ANSWER = ("token", "The sky is blue because air scatters blue light more than red light.")
STOP = ("finished", "stop")
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def settings(real_ollama_server: RealOllama) -> Settings:
    return Settings(upstream=f"{real_ollama_server.url}/v1", model="tiny-chat", temperature=0)


async def test_answer(settings: Settings) -> None:
    """The answer is exact, without thinking unless it is asked for, and has its usage."""
    events = await events_of(SKY, settings=settings)
    assert [SKY_ANSWER, STOP] == outline(events)
    last = events[-1]
    assert isinstance(last, Finished)
    assert (11, 15) == (last.usage.input_tokens, last.usage.output_tokens)


@pytest.mark.parametrize("thinking", [True, "high", "max"])
async def test_thinking(settings: Settings, thinking: Any) -> None:
    """Thinking is told apart, at any level that Ollama takes."""
    found = outline(await events_of(SKY, settings=settings, thinking=thinking))
    assert ["reasoning", "token", "finished"] == [row[0] for row in found]
    assert SKY_ANSWER == found[1]


async def test_ends(settings: Settings) -> None:
    """A tool call, a limit and a model that is not there end as they do on Ollama's own API."""
    called = outline(await events_of("What is the weather in Paris?", settings=settings, tools=[WEATHER]))
    cut = outline(await events_of("Count to 100.", settings=settings, options={"num_predict": 5}))
    missing = outline(await events_of(SKY, settings=settings, model="nope"))
    assert [("tool_call", "get_weather", {"city": "Paris"}), ("finished", "tool_calls")] == called
    assert ("finished", "length") == cut[-1]
    assert [("failed", "model_not_found", False)] == missing


async def test_models(settings: Settings) -> None:
    """Its models are there, and it is known for an Ollama."""
    upstream = await upstream_of(settings)
    assert "Ollama" == await upstream.version()
    assert {"tiny-chat:latest", "tiny-plain:latest"} <= {model.name for model in await upstream.models()}
