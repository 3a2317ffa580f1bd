"""The AI SDK's dialect: requests as useChat and assistant-ui send them, frames as they read them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import httpx_sse
import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.dialects.ai_sdk.encoder import AiSdkEncoder
from llmstream.events import (
    Cancelled,
    Data,
    Event,
    Failed,
    Finished,
    Reasoning,
    Started,
    Status,
    Timings,
    Token,
    ToolCall,
    ToolResult,
    Usage,
)
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.ai_sdk import Frames, body, frames, going, send, text, types, user
from tests.support.golden import forever, golden
from tests.support.serving import Serve, Served, post

PIXEL = "data:image/png;base64,iVBORw0KGgo="


def encoded(*events: Event) -> Frames:
    """The frames of a run."""
    return frames(AiSdkEncoder("r").encode(1, [Started("m", 0), *events]))


DONE = Finished("stop", Usage(), Timings())

SCENARIOS: dict[str, dict[str, Any]] = {
    "text": {"model": "demo:one-chunk"},
    "reasoning": {"model": "demo:thinking", "thinking": True},
    "tool_call": {"model": "demo:tool-call", "tools": {"get_weather": {"description": "", "parameters": {}}}},
    "error_late": {"model": "demo:error-line"},
    "truncated": {"model": "demo:no-done"},
    "length": {"model": "demo:length"},
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_transcript(served: Served, scenario: str) -> None:
    """The bytes are those of the golden transcript."""
    golden(f"ai_sdk_{scenario}", send(served, **SCENARIOS[scenario]).content)


def test_transcript_of_a_stopped_answer(serve: Serve, settings: Settings) -> None:
    """Stop closes the open block, and says abort."""
    served = serve(create_app(settings, chain=forever))
    with going(served) as (_, pieces, came):
        assert 202 == post(f"{served.url}/api/chat/chat-1/stop").status_code
        came += b"".join(pieces)
    golden("ai_sdk_stopped", came)
    assert 204 == post(f"{served.url}/api/chat/chat-1/stop").status_code


def test_headers(served: Served) -> None:
    """assistant-ui knows the stream by a header of its own."""
    response = send(served)
    assert "text/event-stream" == response.headers["content-type"]
    assert "v1" == response.headers["x-vercel-ai-ui-message-stream"]
    assert "chat-1" == response.headers["x-resumable-stream-id"]


def test_text_is_exact(served: Served, upstream: DemoOllama) -> None:
    """What httpx-sse reads, joined, is what the model said."""
    upstream.answers["Why?"] = expected = "\n Né\r\n\n😀 \x85\u2028\ufeff</p> ok.\n"
    url = f"{served.url}/api/chat"
    with httpx.Client() as client, httpx_sse.connect_sse(client, "POST", url, json=body()) as source:
        found = [json.loads(event.data) for event in source.iter_sse() if event.data != "[DONE]"]
    assert expected == text(found)


def test_every_delta_is_inside_its_block() -> None:
    """A block begins before its first delta and ends before the next one begins."""
    found = encoded(Reasoning("a"), Token("b"), Reasoning("c"), Token("d"), Token("e"), DONE)
    open_blocks: set[str] = set()
    for each in found:
        kind, _, step = each["type"].partition("-")
        if step == "start" and kind in ("text", "reasoning"):
            assert not open_blocks
            open_blocks.add(each["id"])
        elif step == "delta":
            assert {each["id"]} == open_blocks
        elif step == "end":
            open_blocks.remove(each["id"])
    assert not open_blocks
    assert ("bde", "ac") == (text(found), text(found, "reasoning"))


def test_finish_tells_usage_and_timings() -> None:
    """The end has the model, the usage and the timings in its metadata."""
    end = encoded(Finished("length", Usage(3, 4), Timings(total_s=1.5), prompt_truncated=True))[-1]
    assert {
        "type": "finish",
        "finishReason": "length",
        "messageMetadata": {
            "model": "m",
            "reason": "length",
            "usage": {"input_tokens": 3, "output_tokens": 4},
            "timings": {"total_s": 1.5},
            "prompt_truncated": True,
        },
    } == end


def test_tool_of_the_page() -> None:
    """A call that nobody here answered ends the answer with the reason tool-calls."""
    found = encoded(ToolCall("a", "ask", {"x": 1}), Finished("tool_calls", Usage(), Timings()))
    assert ["start", "start-step", "tool-input-start", "tool-input-available", "finish-step", "finish"] == types(found)
    assert {"x": 1} == found[3]["input"]
    assert "tool-calls" == found[-1]["finishReason"]


def test_tool_of_the_chain() -> None:
    """After calls that the chain answered comes a new step, or the hook would send their results back by itself."""
    call, result = ToolCall("a", "search", {}), ToolResult("a", ["found"])
    assert [
        "start", "start-step", "tool-input-start", "tool-input-available", "tool-output-available", "finish-step",
        "start-step", "text-start", "text-delta", "text-end", "finish-step", "finish",
    ] == types(encoded(call, result, Token("So."), DONE))  # fmt: skip
    found = encoded(call, result, Finished("tool_calls", Usage(), Timings()))
    assert ["tool-output-available", "finish-step", "start-step", "finish-step", "finish"] == types(found)[-5:]
    assert "stop" == found[-1]["finishReason"]


def test_result_without_a_call_is_data() -> None:
    """A result of a call that nobody was told of would make the client throw."""
    assert "data-tool-result" in types(encoded(ToolResult("a", 1), DONE))


def test_sources_and_other_data() -> None:
    """Sources have a form of their own, and everything else is data under its name."""
    sources = [{"title": "A", "url": "https://a", "excerpt": "…"}, {"title": "B", "url": None, "excerpt": ""}]
    found = encoded(Data("sources", sources), Data("chart", {"x": 1}), Status("loading", "Wait", progress=0.3), DONE)
    assert [
        {
            "type": "source-url",
            "url": "https://a",
            "sourceId": "source-1",
            "title": "A",
            "providerMetadata": {"llmstream": {"excerpt": "…"}},
        },
        {"type": "source-document", "mediaType": "text/plain", "sourceId": "source-2", "title": "B"},
        {"type": "data-chart", "data": {"x": 1}},
        {
            "type": "data-status",
            "data": {"type": "status", "state": "loading", "detail": "Wait", "progress": 0.3},
            "transient": True,
        },
    ] == found[2:6]


@pytest.mark.parametrize("end", [Failed("upstream_truncated", "It broke off.", True), Cancelled("replaced")])
def test_every_end_closes_what_is_open(end: Event) -> None:
    """The open block is closed before an error or an abort; a finish, which says why, and `[DONE]` come after."""
    found = encoded(Token("a"), end)
    told, reason = (["error"], "error") if isinstance(end, Failed) else (["message-metadata", "abort"], "other")
    ends = ["text-end", *told, "finish"]
    assert ends == types(found)[-len(ends) :]
    assert reason == found[-1]["finishReason"]


def test_early_error_is_a_sentence(served: Served) -> None:
    """A failure before the first token is a status with a plain sentence, which the hook shows as it is."""
    response = send(served, model="nobody")
    assert (404, "text/plain; charset=utf-8") == (response.status_code, response.headers["content-type"])
    assert "nobody" in response.text


def test_model_not_allowed(serve: Serve, settings: Settings) -> None:
    """A model that the settings do not allow is 403."""
    served = serve(create_app(settings.change(model="demo", allowed_models=("demo",))))
    assert 403 == send(served, model="demo-thinking").status_code


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": []},
        {"callSettings": {"grammar": "x"}},
        {"config": {"apiKey": "k"}},
        {"unheard_of": 1},
        {"options": {"num_gpu": 1}},
        {"thinking": True},
        {"messages": [user(parts=[{"type": "file", "mediaType": "application/pdf", "url": "data:,x"}])]},
        {"messages": [user(parts=[{"type": "file", "mediaType": "image/png", "url": PIXEL}])]},
    ],
)
def test_what_cannot_be_done_is_refused(served: Served, changes: dict[str, Any]) -> None:
    """What a page asks for and nobody here can do is a 400 with a sentence."""
    response = send(served, **changes)
    assert 400 == response.status_code
    assert response.text.endswith(".")


def test_assistant_ui_request(served: Served, upstream: DemoOllama) -> None:
    """What assistant-ui's runtime adds reaches the model: system, call settings, tools, the model's name."""
    send(
        served,
        system="Be brief.",
        callSettings={"temperature": 0.5, "maxTokens": 9, "headers": {"x": "y"}},
        config={"modelName": "demo:tool-call"},
        tools={"get_weather": {"description": "Weather", "parameters": {"type": "object"}}},
        metadata={"a": 1},
        messageId="m1",
        webSearch=False,
        attachments=[],
    )
    sent = upstream.requests[-1].body
    assert ["system", "user"] == [message["role"] for message in sent["messages"]]
    assert {"temperature": 0.5, "num_predict": 9} == sent["options"]
    assert ["get_weather"] == [tool["function"]["name"] for tool in sent["tools"]]


def test_every_part_of_an_answer_is_tolerated(served: Served, upstream: DemoOllama) -> None:
    """An earlier answer comes back with all its parts; the model sees its text, its calls and their results."""
    parts: list[dict[str, Any]] = [
        {"type": "step-start"},
        {"type": "reasoning", "text": "Hm"},
        {"type": "text", "text": "Let me see."},
        {
            "type": "tool-get_weather", "toolCallId": "a", "state": "output-available", "input": {"city": "Paris"},
            "output": {"sky": "blue"},
        },
        {"type": "dynamic-tool", "toolName": "ask", "toolCallId": "b", "state": "output-error", "errorText": "No."},
        {"type": "tool-lost", "toolCallId": "c", "state": "input-available", "input": {}},
        {"type": "step-start"},
        {"type": "text", "text": "It is blue."},
        {"type": "source-url", "sourceId": "1", "url": "https://a"},
        {"type": "data-chart", "data": 1},
        {"type": "file", "mediaType": "image/png", "url": PIXEL},
    ]  # fmt: skip
    send(served, user(), user(id="m2", role="assistant", parts=parts), user("And now?", id="m3"))
    sent = upstream.requests[-1].body["messages"]
    assert ["user", "assistant", "tool", "tool", "assistant", "user"] == [message["role"] for message in sent]
    assert ["Why?", "Let me see.", '{"sky": "blue"}', "No.", "It is blue.", "And now?"] == [m["content"] for m in sent]
    assert ["get_weather", "ask"] == [call["function"]["name"] for call in sent[1]["tool_calls"]]


def test_heartbeat_is_no_frame(serve: Serve, settings: Settings) -> None:
    """A heartbeat in a long silence is not seen by a parser."""
    beaten = threading.Event()

    async def slow(question: object) -> AsyncIterator[str]:
        yield "One"
        await asyncio.to_thread(beaten.wait)
        yield " two"

    served = serve(create_app(settings.change(heartbeat_s=0.05), chain=slow))
    content = b""
    with httpx.stream("POST", f"{served.url}/api/chat", json=body(), timeout=30) as response:
        for piece in response.iter_bytes():
            content += piece
            if b": ping\n" in content:
                beaten.set()
    assert b": ping\n" in content
    assert "One two" == text(frames(content))
