"""Requests of Anthropic's dialect, with what Claude Code sends: what is read, and what is refused."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx
import pytest

from llmstream import sse
from llmstream.demo_ollama import DemoOllama
from llmstream.dialects.anthropic.encoder import MessagesEncoder
from llmstream.dialects.anthropic.message import message_body
from llmstream.events import Event, Finished, Started, Timings, ToolCall, ToolResult, Usage
from tests.support.anthropic_messages import WEATHER, ask, send
from tests.support.pixel import PIXEL
from tests.support.serving import Served, get, post


def test_blocks_are_read(keeping: tuple[Served, list[Any]]) -> None:
    """System blocks, images and documents reach the chain as LangChain knows them."""
    served, got = keeping
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


def test_demanded_call_is_made(claude: anthropic.Anthropic, upstream: DemoOllama) -> None:
    """`tool_choice` any makes a call of a model that can't call tools by itself."""
    upstream.answers["Why?"] = '{"city": "Paris"}'
    message = claude.messages.create(**ask(tools=[WEATHER], tool_choice={"type": "tool", "name": "get_weather"}))
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


def test_reason_is_no_call_that_was_made_here() -> None:
    """A client that is left with no call is not told to make one, whatever the model ended with."""
    calls: list[Event] = [ToolCall("a", "f", {}), ToolResult("a", 1), Finished("tool_calls", Usage(), Timings())]
    events = [Started("m", 1.5), *calls]
    assert "end_turn" == message_body("0" * 32, "m", events)["stop_reason"]
    assert b'"stop_reason":"end_turn"' in MessagesEncoder("0" * 32, model="m").encode(1, events)


def test_tokens_are_counted_roughly(claude: anthropic.Anthropic) -> None:
    """A longer prompt takes more of them."""
    few = claude.messages.count_tokens(model="demo", messages=[{"role": "user", "content": "Why?"}])
    many = claude.messages.count_tokens(
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
