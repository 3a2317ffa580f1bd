"""OpenAI's chat completions, with OpenAI's own client."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from llmstream import sse
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.dialects.openai.encoder import OpenAIEncoder
from llmstream.events import Event, Finished, Started, Timings, Token, ToolCall, ToolResult, Usage
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.completions import WEATHER, ask, complete
from tests.support.golden import forever, golden, stopped
from tests.support.npm import EXACT, NOBODY
from tests.support.serving import Serve, Served

SCENARIOS: dict[str, dict[str, Any]] = {
    "text": {"model": "demo:one-chunk", "stream_options": {"include_usage": True}},
    "reasoning": {"model": "demo:thinking", "reasoning_effort": "high"},
    "tool_call": {"model": "demo:tool-call", "tools": [WEATHER]},
    "error_late": {"model": "demo:error-line"},
    "truncated": {"model": "demo:no-done"},
    "length": {"model": "demo:length"},
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_transcript(served: Served, scenario: str) -> None:
    """The bytes are those of the golden transcript."""
    golden(f"openai_{scenario}", complete(served, **SCENARIOS[scenario]).content)


def test_transcript_of_a_stopped_answer(serve: Serve, settings: Settings) -> None:
    """A stop is told as an error: what came is not the whole answer."""
    served = serve(create_app(settings, chain=forever))
    golden("openai_stopped", stopped(served, "/v1/chat/completions", ask(model="chain")))


def test_headers(served: Served) -> None:
    """A stream's headers are the ones of every dialect here."""
    response = complete(served)
    assert "text/event-stream" == response.headers["content-type"]
    assert "no-store, no-transform" == response.headers["cache-control"]


def test_text_is_exact(client: openai.OpenAI, upstream: DemoOllama) -> None:
    """What the client joins is what the model said."""
    upstream.answers["Why?"] = EXACT
    chunks = list(client.chat.completions.create(**ask()))
    assert EXACT == "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert "stop" == chunks[-1].choices[0].finish_reason
    assert 1 == len({(chunk.id, chunk.created, chunk.model) for chunk in chunks})


def test_reasoning_is_apart(client: openai.OpenAI) -> None:
    """Thoughts come in fields of their own, before the text."""
    chunks = list(client.chat.completions.create(**ask(model="demo:thinking", reasoning_effort="high")))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert SENTENCE == "".join(delta.content or "" for delta in deltas)
    for field in ("reasoning", "reasoning_content"):
        assert "Let me think." == "".join(getattr(delta, field, "") for delta in deltas)


def test_early_error_raises(client: openai.OpenAI, serve: Serve) -> None:
    """A model that isn't there and an Ollama that is down raise the package's own classes, with a sentence."""
    with pytest.raises(openai.NotFoundError, match="The model 'nobody' is not there"):
        client.chat.completions.create(**ask(model="nobody"))
    down = serve(create_app(Settings(ollama_url=NOBODY, model="demo", demo="never")))
    with pytest.raises(openai.InternalServerError, match="Ollama is not running"):
        client.with_options(base_url=f"{down.url}/v1").chat.completions.create(**ask())


def test_usage_comes_last(client: openai.OpenAI) -> None:
    """With include_usage the last chunk has the usage and no choices."""
    chunks = list(client.chat.completions.create(**ask(model="demo:one-chunk", stream_options={"include_usage": True})))
    assert [] == chunks[-1].choices
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == chunks[-1].usage.prompt_tokens + chunks[-1].usage.completion_tokens > 0


def test_whole_body(client: openai.OpenAI) -> None:
    """Without stream there is one body, with usage."""
    answer = client.chat.completions.create(**ask(model="demo:thinking", stream=False, reasoning_effort="low"))
    assert SENTENCE == answer.choices[0].message.content
    assert "Let me think." == answer.choices[0].message.reasoning_content
    assert answer.usage.completion_tokens > 0


def test_tool_call_both_ways(client: openai.OpenAI) -> None:
    """The model's call comes to the client, and the result goes to the model."""
    request = ask(model="demo:tool-call", tools=[WEATHER], stream=False)
    message = client.chat.completions.create(**request).choices[0].message
    assert [("get_weather", {"city": "Paris"})] == [
        (call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls
    ]
    request["messages"] += [
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "Sunny"},
    ]
    assert SENTENCE == client.chat.completions.create(**request).choices[0].message.content


@pytest.mark.parametrize("model", ["demo:error-line", "demo:no-done", "demo:cut"])
def test_late_error_raises(client: openai.OpenAI, model: str) -> None:
    """An error and a truncation after the first token raise in the client, after what came."""
    pieces: list[str] = []
    with pytest.raises(openai.APIError):
        pieces.extend(c.choices[0].delta.content or "" for c in client.chat.completions.create(**ask(model=model)))
    assert SENTENCE.startswith("".join(pieces))
    assert pieces
    with pytest.raises(openai.APIError):
        client.chat.completions.create(**ask(model=model, stream=False))


def test_leaving_stops_the_model(client: openai.OpenAI, upstream: DemoOllama) -> None:
    """A client that closes its stream frees the model at once: it can't come back."""
    with client.chat.completions.create(**ask(model="demo:endless-200")) as stream:
        for _, _ in zip(range(5), stream, strict=False):
            pass
    assert upstream.wait_idle(timeout_s=2)


def test_models(client: openai.OpenAI) -> None:
    """The list is that of the models a client may ask for, each to be had by its name with or without a tag."""
    assert ["demo:latest", "demo-thinking:latest"] == [model.id for model in client.models.list()]
    assert "demo" == client.models.retrieve("demo").id
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_chain_has_a_name(serve: Serve, settings: Settings) -> None:
    """A chain is a model under its name; another name is 404, and a form that it can't be told to have is 400."""

    async def chain(question: str) -> str:
        return f"You asked {question}"

    served = serve(create_app(settings, chain=chain))
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        answer = client.chat.completions.create(**ask(model="chain:latest", stream=False))
        assert "You asked Why?" == answer.choices[0].message.content
        assert ["chain"] == [model.id for model in client.models.list()]
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(**ask(model="demo"))
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(**ask(model="chain", response_format={"type": "json_object"}))


async def test_async_client(served: Served) -> None:
    """The async client reads the same."""
    async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(**ask(model="demo:one-chunk"))
        assert SENTENCE == "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


def test_own_tools_of_a_chain_stay_here() -> None:
    """A call that the chain answered itself is not the client's to make."""
    encoder = OpenAIEncoder("r", model="m")
    events: list[Event] = [
        Started("m", 0),
        ToolCall("a", "search", {}),
        ToolResult("a", "found"),
        Token("Done."),
        ToolCall("b", "theirs", {}),
        Finished("tool_calls", Usage(), Timings()),
    ]
    chunks = [json.loads(message.data) for message in sse.Decoder().feed(encoder.encode(1, events))[:-1]]
    calls = [call["id"] for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert ["b"] == calls
    assert "tool_calls" == chunks[-1]["choices"][0]["finish_reason"]
