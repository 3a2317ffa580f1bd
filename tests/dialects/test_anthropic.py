"""Anthropic's dialect, with the client people use, and with what Claude Code sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx
import pytest
from fastapi import FastAPI
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda

from llmstream import sse
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.dialects.anthropic.encoder import MessagesEncoder
from llmstream.dialects.anthropic.message import message_body
from llmstream.events import Event, Finished, Reasoning, Started, Timings, Token, ToolCall, ToolResult, Usage
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.golden import forever, golden, stopped
from tests.support.message_runs import RUNS
from tests.support.npm import EXACT, NOBODY
from tests.support.serving import Served, get, post

Serve = Callable[[FastAPI], Served]

WEATHER = {
    "name": "get_weather",
    "description": "The weather now.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture
def client(served: Served) -> Iterator[anthropic.Anthropic]:
    """Anthropic's own client."""
    with anthropic.Anthropic(base_url=served.url, api_key="none", max_retries=0) as made:
        yield made


def ask(**changes: Any) -> dict[str, Any]:
    """A request."""
    return {"model": "demo", "max_tokens": 1000, "messages": [{"role": "user", "content": "Why?"}], **changes}


def send(served: Served, path: str = "/v1/messages", **changes: Any) -> httpx.Response:
    """One request, read to its end."""
    return post(f"{served.url}{path}", json=ask(**changes))


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


@pytest.mark.parametrize("run", RUNS)
def test_transcript_of_several_messages(run: str) -> None:
    """Agents, withdrawn drafts and pauses, as one text with the calls that are left to the client."""
    golden(f"anthropic_{run}", MessagesEncoder("0" * 32, model="graph").encode(1, RUNS[run]), fixed=True)


def test_text_is_exact(client: anthropic.Anthropic, upstream: DemoOllama) -> None:
    """What the client joins is what the model said, streamed and whole."""
    upstream.answers["Why?"] = EXACT
    with client.messages.stream(**ask()) as stream:
        assert EXACT == "".join(stream.text_stream)
        streamed = stream.get_final_message()
    whole = client.messages.create(**ask())
    assert [EXACT, EXACT] == [message.content[0].text for message in (streamed, whole)]  # type: ignore[union-attr]
    assert ["end_turn", "end_turn"] == [message.stop_reason for message in (streamed, whole)]
    assert streamed.usage.output_tokens == whole.usage.output_tokens > 0


def test_thinking_is_a_block_of_its_own(client: anthropic.Anthropic) -> None:
    """It stands before the text."""
    with client.messages.stream(**ask(**SCENARIOS["reasoning"])) as stream:
        streamed = stream.get_final_message()
    whole = client.messages.create(**ask(**SCENARIOS["reasoning"]))
    for message in (streamed, whole):
        assert ["thinking", "text"] == [block.type for block in message.content]
        assert "Let me think." == message.content[0].thinking  # type: ignore[union-attr]
        assert SENTENCE == message.content[1].text  # type: ignore[union-attr]


def test_call_and_its_result(client: anthropic.Anthropic, upstream: DemoOllama) -> None:
    """A call comes as a block with its arguments; its result goes back to the model."""
    with client.messages.stream(**ask(**SCENARIOS["tool_call"])) as stream:
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
    client.messages.create(**ask(model="demo:tool-call", messages=history, tools=[WEATHER]))
    sent = upstream.requests[-1].body["messages"]
    assert ["user", "assistant", "tool", "user"] == [each["role"] for each in sent]
    assert "18 °C" == sent[2]["content"]
    assert "get_weather" == sent[1]["tool_calls"][0]["function"]["name"]


@pytest.mark.parametrize(
    ("scenario", "reason"), [("length", "max_tokens"), ("text", "end_turn"), ("tool_call", "tool_use")]
)
def test_reason_of_the_end(client: anthropic.Anthropic, scenario: str, reason: str) -> None:
    """Why the answer ended, streamed and whole."""
    with client.messages.stream(**ask(**SCENARIOS[scenario])) as stream:
        assert reason == stream.get_final_message().stop_reason
    assert reason == client.messages.create(**ask(**SCENARIOS[scenario])).stop_reason


@pytest.mark.parametrize("scenario", ["error_late", "truncated"])
def test_failed_answer_raises(client: anthropic.Anthropic, scenario: str) -> None:
    """The client does not take what came for the answer."""
    with pytest.raises(anthropic.APIStatusError), client.messages.stream(**ask(**SCENARIOS[scenario])) as stream:
        stream.get_final_message()
    with pytest.raises(anthropic.APIStatusError):
        client.messages.create(**ask(**SCENARIOS[scenario]))


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


def test_blocks_are_read(serve: Serve, settings: Settings) -> None:
    """System blocks, images and documents reach the chain as LangChain knows them."""
    got: list[Any] = []

    def keep(prompt: PromptValue) -> str:
        got.extend(prompt.to_messages())
        return "Seen."

    chain = ChatPromptTemplate([MessagesPlaceholder("messages")]) | RunnableLambda(keep)
    served = serve(create_app(settings, chain=chain))
    content = [
        {"type": "text", "text": "What is it?", "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {"type": "document", "title": "notes.txt", "source": {"type": "text", "data": "Blue."}},
    ]
    system = [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]
    answer = send(served, model="chain", system=system, messages=[{"role": "user", "content": content}])
    assert 200 == answer.status_code, answer.text
    assert ("system", "Be brief.\nBe kind.") == (got[0].type, got[0].content)
    parts = got[1].content
    assert ["What is it?", "notes.txt\nBlue."] == [part["text"] for part in parts if part["type"] == "text"]
    assert f"data:image/png;base64,{PIXEL}" in str(parts)


def test_options_reach_the_model(served: Served, upstream: DemoOllama) -> None:
    """Under Ollama's names."""
    assert send(served, stop_sequences=["END"], top_k=5, temperature=0.5).is_success
    options = upstream.requests[-1].body["options"]
    assert (1000, ["END"], 5, 0.5) == tuple(options[name] for name in ("num_predict", "stop", "top_k", "temperature"))


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": [{"role": "user", "content": [{"type": "video", "source": {}}]}]},
        {"messages": [{"role": "user", "content": [5]}]},
        {"tool_choice": {"type": "tool", "name": "gone"}, "tools": [WEATHER]},
        {"tool_choice": {"type": "any"}},
        {"output_config": {"format": {"type": "poem"}}},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "http://x/y"}}]}
            ]
        },
        {"best_of": 5},
        {"max_tokens": 0},
    ],
)
def test_what_is_refused(served: Served, changes: dict[str, Any]) -> None:
    """With a sentence, in Anthropic's form."""
    answer = send(served, **changes)
    assert 400 == answer.status_code
    assert "invalid_request_error" == answer.json()["error"]["type"]
    assert answer.json()["error"]["message"].endswith(".")


def test_demanded_call_is_made(client: anthropic.Anthropic, upstream: DemoOllama) -> None:
    """`tool_choice` any makes a call of a model that can't call tools by itself."""
    upstream.answers["Why?"] = '{"city": "Paris"}'
    message = client.messages.create(**ask(tools=[WEATHER], tool_choice={"type": "tool", "name": "get_weather"}))
    call = message.content[-1]
    assert ("tool_use", "get_weather") == (call.type, call.name)
    assert {"city": "Paris"} == call.input


def test_one_call_at_a_time() -> None:
    """A client that takes one call at a time is given one."""
    events: list[Event] = [
        Started("m", 1.5),
        ToolCall("a", "f", {}),
        ToolCall("b", "g", {}),
        Finished("tool_calls", Usage(), Timings()),
    ]
    whole = message_body("0" * 32, "m", events, max_calls=1)
    assert ["a"] == [block["id"] for block in whole["content"]]
    assert b'"name":"g"' not in MessagesEncoder("0" * 32, model="m", max_calls=1).encode(1, events)


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


def test_tokens_are_counted_roughly(client: anthropic.Anthropic) -> None:
    """A longer prompt takes more of them."""
    few = client.messages.count_tokens(model="demo", messages=[{"role": "user", "content": "Why?"}])
    many = client.messages.count_tokens(
        model="demo",
        system="Be kind. " * 100,
        messages=[{"role": "user", "content": "Why?"}],
        tools=[WEATHER],  # type: ignore[list-item]
    )
    assert 0 < few.input_tokens < 100 < many.input_tokens


def test_what_claude_code_sends(served: Served) -> None:
    """Its parameters, headers and tools are taken; what can't be done is left out, and it is told so."""
    headers = {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
        "x-app": "cli",
        "authorization": "Bearer none",
    }
    blocks = [{"type": "text", "text": "Why?", "cache_control": {"type": "ephemeral"}}]
    body = ask(
        model="demo:tool-call",
        system=[{"type": "text", "text": "You are a command line.", "cache_control": {"type": "ephemeral"}}],
        messages=[{"role": "user", "content": blocks}],
        metadata={"user_id": "user_1_account__session_2"},
        tools=[
            {**WEATHER, "cache_control": None},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
        ],
        thinking={"type": "adaptive"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        output_config={"effort": "medium"},
        stream=True,
    )
    answer = post(f"{served.url}/v1/messages?beta=true", json=body, headers=headers)
    assert 200 == answer.status_code, answer.text
    assert "message_stop" == sse.Decoder().feed(answer.content)[-1].event
    assert {"context_management", "tools_web_search"} == set(answer.headers["x-llmstream-ignored"].split(", "))
    assert 204 == post(f"{served.url}/api/event_logging/batch", json={"events": []}).status_code
    with httpx.Client() as client:
        assert 200 == client.head(served.url).status_code
    counted = post(
        f"{served.url}/v1/messages/count_tokens?beta=true", json={"model": "demo", "messages": body["messages"]}
    )
    assert 0 < counted.json()["input_tokens"]


def test_models_are_listed(served: Served) -> None:
    """Both kinds of clients ask at the same address."""
    names = [model["id"] for model in get(f"{served.url}/v1/models").json()["data"]]
    assert "demo:latest" in names or "demo" in names
