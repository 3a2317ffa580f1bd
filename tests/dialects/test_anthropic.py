"""Anthropic's dialect, with the client people use."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx
import pytest

from llmstream import sse
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.dialects.anthropic.message import message_body
from llmstream.events import Event, Finished, Reasoning, Started, Timings, Token, ToolCall, ToolResult, Usage
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.anthropic_messages import WEATHER, ask, send
from tests.support.golden import forever, golden, stopped
from tests.support.npm import EXACT, NOBODY
from tests.support.serving import Serve, Served

SCENARIOS: dict[str, dict[str, Any]] = {
    "text": {"model": "demo:one-chunk"},
    "reasoning": {"model": "demo:thinking", "thinking": {"type": "enabled", "budget_tokens": 1024}},
    "tool_call": {"model": "demo:tool-call", "tools": [WEATHER]},
    "error_late": {"model": "demo:error-line"},
    "truncated": {"model": "demo:no-done"},
    "length": {"model": "demo:length"},
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_transcript(served: Served, scenario: str) -> None:
    """The bytes are those of the golden transcript."""
    golden(f"anthropic_{scenario}", send(served, stream=True, **SCENARIOS[scenario]).content)


def test_transcript_of_a_stopped_answer(serve: Serve, settings: Settings) -> None:
    """A stop is told as an error: what came is not the whole answer."""
    served = serve(create_app(settings, chain=forever))
    golden("anthropic_stopped", stopped(served, "/v1/messages", ask(model="chain", stream=True)))


def test_text_is_exact(claude: anthropic.Anthropic, upstream: DemoOllama) -> None:
    """What the client joins is what the model said, streamed and whole."""
    upstream.answers["Why?"] = EXACT
    with claude.messages.stream(**ask()) as stream:
        assert EXACT == "".join(stream.text_stream)
        streamed = stream.get_final_message()
    whole = claude.messages.create(**ask())
    assert [EXACT, EXACT] == [message.content[0].text for message in (streamed, whole)]  # type: ignore[union-attr]
    assert ["end_turn", "end_turn"] == [message.stop_reason for message in (streamed, whole)]
    assert streamed.usage.output_tokens == whole.usage.output_tokens > 0


def test_thinking_is_a_block_of_its_own(claude: anthropic.Anthropic) -> None:
    """It stands before the text."""
    with claude.messages.stream(**ask(**SCENARIOS["reasoning"])) as stream:
        streamed = stream.get_final_message()
    whole = claude.messages.create(**ask(**SCENARIOS["reasoning"]))
    for message in (streamed, whole):
        assert ["thinking", "text"] == [block.type for block in message.content]
        assert "Let me think." == message.content[0].thinking  # type: ignore[union-attr]
        assert SENTENCE == message.content[1].text  # type: ignore[union-attr]


def test_call_and_its_result(claude: anthropic.Anthropic, upstream: DemoOllama) -> None:
    """A call comes as a block with its arguments; its result goes back to the model."""
    with claude.messages.stream(**ask(**SCENARIOS["tool_call"])) as stream:
        message = stream.get_final_message()
    call = next(block for block in message.content if block.type == "tool_use")
    assert ("tool_use", "get_weather") == (message.stop_reason, call.name)
    assert isinstance(call.input, dict)
    history = [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": [block.model_dump() for block in message.content]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "18 °C"}]},
                {"type": "text", "text": "And tomorrow?"},
            ],
        },
    ]
    claude.messages.create(**ask(model="demo:tool-call", messages=history, tools=[WEATHER]))
    sent = upstream.requests[-1].body["messages"]
    assert ["user", "assistant", "tool", "user"] == [each["role"] for each in sent]
    assert "18 °C" == sent[2]["content"]
    assert "get_weather" == sent[1]["tool_calls"][0]["function"]["name"]


@pytest.mark.parametrize(
    ("scenario", "reason"), [("length", "max_tokens"), ("text", "end_turn"), ("tool_call", "tool_use")]
)
def test_reason_of_the_end(claude: anthropic.Anthropic, scenario: str, reason: str) -> None:
    """Why the answer ended, streamed and whole."""
    with claude.messages.stream(**ask(**SCENARIOS[scenario])) as stream:
        assert reason == stream.get_final_message().stop_reason
    assert reason == claude.messages.create(**ask(**SCENARIOS[scenario])).stop_reason


@pytest.mark.parametrize("scenario", ["error_late", "truncated"])
def test_failed_answer_raises(claude: anthropic.Anthropic, scenario: str) -> None:
    """The client does not take what came for the answer."""
    with pytest.raises(anthropic.APIStatusError), claude.messages.stream(**ask(**SCENARIOS[scenario])) as stream:
        stream.get_final_message()
    with pytest.raises(anthropic.APIStatusError):
        claude.messages.create(**ask(**SCENARIOS[scenario]))


def test_errors_have_their_types(serve: Serve, settings: Settings) -> None:
    """Each is the exception that the client's users catch."""
    served = serve(create_app(settings.change(token="secret")))
    stranger = anthropic.Anthropic(base_url=served.url, api_key="wrong", max_retries=0)
    with stranger, pytest.raises(anthropic.AuthenticationError):
        stranger.messages.create(**ask())
    with anthropic.Anthropic(base_url=served.url, api_key="secret", max_retries=0) as client:
        with pytest.raises(anthropic.NotFoundError, match="no-such-model"):
            client.messages.create(**ask(model="no-such-model"))
        with pytest.raises(anthropic.BadRequestError, match="messages"):
            client.messages.create(**ask(messages=[]))
        assert client.messages.create(**ask()).content
    with anthropic.Anthropic(base_url=served.url, auth_token="secret", max_retries=0) as client:
        assert client.messages.create(**ask()).content


def test_no_ollama(serve: Serve, settings: Settings) -> None:
    """A failure before the first byte has a status, also of a stream."""
    served = serve(create_app(settings.change(ollama_url=NOBODY, model="demo")))
    answer = send(served, stream=True)
    assert 502 == answer.status_code
    assert "error" == answer.json()["type"]
    assert "api_error" == answer.json()["error"]["type"]


def test_silence_has_pings(serve: Serve, settings: Settings) -> None:
    """Clients that take comments for silence hear of the server all the same."""
    served = serve(create_app(settings.change(heartbeat_s=0.05, hold_s=0)))
    body = ask(model="demo:silent", stream=True)
    with httpx.stream("POST", f"{served.url}/v1/messages", json=body, timeout=30) as response:
        decoder = sse.Decoder()
        for piece in response.iter_raw():
            if any(message.event == "ping" for message in decoder.feed(piece)):
                break


def test_calls_that_the_chain_answers_stay_inside() -> None:
    """They are not the client's to make, and the text around them is one text."""
    events: list[Event] = [
        Started("m", 1.5), Reasoning("Hm."), Token("Let me look."), ToolCall("a", "f", {}), ToolResult("a", "x"),
        Token("Blue.", "m2"), Finished("stop", Usage(3, 4), Timings()),
    ]  # fmt: skip
    whole = message_body("0" * 32, "m", events)
    assert [("thinking", None), ("text", "Let me look.\n\nBlue.")] == [
        (block["type"], block.get("text")) for block in whole["content"]
    ]
    assert ("end_turn", {"input_tokens": 3, "output_tokens": 4}) == (whole["stop_reason"], whole["usage"])
