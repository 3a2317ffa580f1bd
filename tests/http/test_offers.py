"""What clients send with every question is no reason to refuse it; what they can't do without is done, or refused."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest

from llmstream.fastapi import create_app
from llmstream.http.ignored import IGNORED_HEADER
from llmstream.settings import Settings

HI = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
AGUI = {"threadId": "t", "runId": "r", "messages": [{"id": "1", "role": "user", "content": "hi"}]}
AI_SDK = {"id": "c", "messages": [{"id": "1", "role": "user", "parts": [{"type": "text", "text": "hi"}]}]}
V1, OLLAMA = {"model": "chain", "messages": [HI]}, {"model": "chain", "messages": [HI], "stream": False}


# What clients send along, and what says nothing of the answer.
V1_ASIDE: list[dict[str, Any]] = [
    {"store": True}, {"keep_alive": "5m"}, {"logit_bias": {}}, {"service_tier": "auto"}, {"modalities": ["text"]},
    {"logprobs": False, "top_logprobs": 0}, {"response_format": {"type": "text"}}, {"prompt_cache_key": "k"},
    {"tools": [], "tool_choice": "none"}, {"stream_options": None}, {"prediction": None, "audio": None},
    {"messages": [{**HI, "name": "Ann", "id": "m1", "timestamp": 1}]},
]  # fmt: skip
OLLAMA_ASIDE: list[dict[str, Any]] = [
    {"keep_alive": -1}, {"options": None, "tools": None, "think": None, "format": None},
    {"messages": [{**HI, "images": None, "tool_calls": None, "thinking": None}]},
]  # fmt: skip


async def echo(question: str) -> str:
    """A chain that needs no model."""
    return f"You asked {question}"


async def post(path: str, body: Any) -> httpx.Response:
    """A request to a chain of one's own."""
    transport = httpx.ASGITransport(app=create_app(Settings(demo="never"), chain=echo))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.post(path, json=body)


@pytest.mark.parametrize(
    ("path", "body", "ignored"),
    [
        ("/v1/chat/completions", {**V1, "temperature": 0, "max_tokens": 5}, "temperature, num_predict"),
        ("/v1/chat/completions", {**V1, "stream": True, "reasoning_effort": "high"}, "thinking"),
        ("/v1/chat/completions", {**V1, "tools": [TOOL], "tool_choice": "auto"}, "tools"),
        ("/stream", {"question": "hi", "options": {"seed": 1}, "thinking": True}, "seed, thinking"),
        ("/runs", {"question": "hi", "options": {"top_k": 3}}, "top_k"),
        ("/api/chat", {**AI_SDK, "callSettings": {"topP": 1}, "tools": {"now": {}}}, "top_p, tools"),
        ("/agui", {**AGUI, "tools": [{"name": "now"}], "forwardedProps": {"thinking": "low"}}, "thinking, tools"),
        ("/ollama/api/chat", {**OLLAMA, "options": {"top_p": 1, "num_ctx": 9}, "tools": [TOOL]}, "top_p, tools"),
        ("/ollama/api/chat", {**OLLAMA, "stream": True, "think": True}, "thinking"),
        ("/ollama/api/generate", {"model": "chain", "prompt": "hi", "options": {"min_p": 0.1}}, "min_p"),
    ],
)
async def test_offers_are_left_out(path: str, body: Any, ignored: str) -> None:
    """A chain answers without what it can't use, and the response says what that was."""
    answer = await post(path, body)
    assert (True, ignored) == (answer.is_success, answer.headers.get(IGNORED_HEADER)), answer.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *(("/v1/chat/completions", {**V1, **field}) for field in V1_ASIDE),
        *(("/ollama/api/chat", {**OLLAMA, **field}) for field in OLLAMA_ASIDE),
        ("/api/chat", {**AI_SDK, "trigger": "submit-message", "messageId": "1"}),
        ("/agui", {**AGUI, "state": None, "forwardedProps": None, "parentRunId": "before"}),
    ],
)
async def test_what_asks_nothing_of_the_answer(path: str, body: Any) -> None:
    """Nobody is refused for what clients send along, and nothing is said of it."""
    answer = await post(path, body)
    assert (True, None) == (answer.is_success, answer.headers.get(IGNORED_HEADER)), answer.text


@pytest.mark.parametrize("path", ["/nostream", "/stream", "/stream-with-post"])
async def test_nothing_is_said_of_nothing(path: str) -> None:
    """Who asks for nothing more is told of nothing."""
    assert IGNORED_HEADER not in (await post(path, {"question": "hi"})).headers


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/chat/completions", {**V1, "response_format": {"type": "json_object"}}, "response_format"),
        ("/v1/chat/completions", {**V1, "tools": [TOOL], "tool_choice": "required"}, "tool_choice"),
        ("/ollama/api/chat", {**OLLAMA, "format": {"type": "object"}}, "format"),
        ("/ollama/v1/chat/completions", {**V1, "tools": [TOOL], "tool_choice": TOOL}, "tool_choice"),
    ],
)
async def test_demands_are_refused_by_name(path: str, body: Any, field: str) -> None:
    """What an answer would be useless without is refused where a chain can't be told, with the field's name."""
    answer = await post(path, body)
    assert (400, True) == (answer.status_code, field in answer.text), answer.text


async def test_limits_hold_for_a_chain(caplog: pytest.LogCaptureFixture) -> None:
    """Ollama's limits on an answer need no model, so they hold, and nothing is said of them."""
    answer = await post("/ollama/api/chat", {**OLLAMA, "options": {"stop": ["asked"]}})
    assert ("You ", None) == (answer.json()["message"]["content"], answer.headers.get(IGNORED_HEADER))


async def test_log_tells_once(caplog: pytest.LogCaptureFixture) -> None:
    """The log says once what the chain answers without, however often a client sends it."""
    transport = httpx.ASGITransport(app=create_app(Settings(demo="never"), chain=echo))
    with caplog.at_level(logging.WARNING, "llmstream"):
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for _ in range(3):
                await client.post("/v1/chat/completions", json={**V1, "temperature": 0})
    assert 1 == json.dumps(caplog.messages).count("temperature")
