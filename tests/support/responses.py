"""OpenAI's Responses, as clients send and read them."""

from __future__ import annotations

import json
from typing import Any

import httpx

from llmstream import sse
from llmstream.events import Cancelled, Event, Failed, Finished, Started, Timings, Token, ToolCall, Usage
from tests.support.message_runs import RUNS
from tests.support.serving import Served, post

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather now.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": True,
}

TERMINAL = {"response.completed", "response.incomplete", "response.failed"}


def send(served: Served, **body: Any) -> httpx.Response:
    """One request, read to its end."""
    return post(f"{served.url}/v1/responses", json={"model": "demo", "input": "Why?", **body})


def events_of(body: bytes) -> list[dict[str, Any]]:
    """The events of a stream, each of which has its name in both places."""
    messages = sse.Decoder().feed(body)
    events = [json.loads(message.data) for message in messages]
    assert [message.event for message in messages] == [event["type"] for event in events]
    return events


def check_stream(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The whole response of a stream, which must be told in order, and add up to it."""
    assert [*range(len(events))] == [event["sequence_number"] for event in events]
    assert ["response.created", "response.in_progress"] == [event["type"] for event in events[:2]]
    assert [events[-1]] == [event for event in events if event["type"] in TERMINAL]
    response: dict[str, Any] = events[-1]["response"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    if response["status"] in ("completed", "incomplete"):
        assert done == response["output"]
    for index, item in enumerate(response["output"]):
        told = [event for event in events if event.get("item_id") == item["id"]]
        assert {index} == {event["output_index"] for event in told}
        deltas = "".join(event["delta"] for event in told if event["type"].endswith(".delta"))
        (part, *rest) = item.get("content") or item.get("summary") or [{"text": item.get("arguments")}]
        assert ([], deltas) == (rest, part["text"])
    return response


SCENARIOS: dict[str, dict[str, Any]] = {
    "text": {"model": "demo:one-chunk"},
    "reasoning": {"model": "demo:thinking", "reasoning": {"effort": "high", "summary": "auto"}},
    "tool_call": {"model": "demo:tool-call", "tools": [WEATHER]},
    "error_late": {"model": "demo:error-line"},
    "truncated": {"model": "demo:no-done"},
    "length": {"model": "demo:length"},
}

ENDED: dict[str, list[Event]] = {
    **RUNS,
    "calls": [
        Started("m", 1.5),
        Token("Let me look."),
        ToolCall("a", "f", {"x": 1}),
        ToolCall("b", "g", {}),
        Finished("tool_calls", Usage(), Timings()),
    ],
    "failed": [Started("m", 1.5), Token("Hal"), Failed("upstream_error", "Broke off.", True)],
    "cancelled": [Started("m", 1.5), Token("Hal"), Cancelled("stop")],
}
