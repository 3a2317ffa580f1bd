"""AG-UI's dialect: every frame is one of the protocol's own models, and messages open and close as its clients want."""

from __future__ import annotations

import json
from typing import Any

import httpx
import httpx_sse
import pytest
from ag_ui.core import Event as AguiEvent
from ag_ui.core import RunAgentInput
from pydantic import TypeAdapter

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.dialects.agui.encoder import AguiEncoder
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
from tests.support.golden import begun, forever, golden, stopped
from tests.support.serving import Serve, Served, get, messages, post

Frames = list[dict[str, Any]]

_event: TypeAdapter[Any] = TypeAdapter(AguiEvent)
DONE = Finished("stop", Usage(3, 4), Timings())


def body(**changes: Any) -> dict[str, Any]:
    """A request as HttpAgent sends it."""
    said = [{"id": "m1", "role": "user", "content": "Why?"}]
    fields = {"threadId": "t-1", "runId": "r-1", "messages": said, "tools": [], "context": [], "state": {}, **changes}
    RunAgentInput.model_validate(fields)
    return {"forwardedProps": {}, **fields}


def send(served: Served, headers: dict[str, str] | None = None, **changes: Any) -> httpx.Response:
    """One request, read to its end."""
    return post(f"{served.url}/agui", json=body(**changes), headers=headers)


def frames(raw: bytes) -> Frames:
    """The frames, each of which the protocol's own model takes, without a null."""
    found = [json.loads(message.data) for message in messages(raw)]
    for each in found:
        _event.validate_python(each)
        assert None not in each.values()
    return found


def encoded(*events: Event, **options: Any) -> Frames:
    """The frames of a run."""
    return frames(AguiEncoder("r", thread_id="t", agent_run_id="a", **options).encode(1, [Started("m", 0), *events]))


def types(found: Frames) -> list[str]:
    """The frames' types."""
    return [frame["type"] for frame in found]


def text(found: Frames, kind: str = "TEXT_MESSAGE_CONTENT") -> str:
    """What the client shows."""
    return "".join(frame["delta"] for frame in found if frame["type"] == kind)


TOOL = {"name": "get_weather", "description": "The weather", "parameters": {"type": "object", "properties": {}}}
SCENARIOS: dict[str, dict[str, Any]] = {
    "text": {"forwardedProps": {"model": "demo:one-chunk"}},
    "reasoning": {"forwardedProps": {"model": "demo:thinking", "thinking": True}},
    "tool_call": {"forwardedProps": {"model": "demo:tool-call"}, "tools": [TOOL]},
    "error_late": {"forwardedProps": {"model": "demo:error-line"}},
    "truncated": {"forwardedProps": {"model": "demo:no-done"}},
    "length": {"forwardedProps": {"model": "demo:length"}},
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_transcript(served: Served, scenario: str) -> None:
    """The bytes are those of the golden transcript."""
    response = send(served, **SCENARIOS[scenario])
    frames(response.content)
    golden(f"agui_{scenario}", response.content)


def test_transcript_of_a_stopped_answer(serve: Serve, settings: Settings) -> None:
    """Stop closes the open message, and the run's outcome is cancelled."""
    served = serve(create_app(settings, chain=forever))
    came = stopped(served, "/agui", body())
    assert {"type": "cancelled"} == frames(came)[-1]["outcome"]
    golden("agui_stopped", came)


def test_text_is_exact(served: Served, upstream: DemoOllama) -> None:
    """What httpx-sse reads, joined, is what the model said."""
    upstream.answers["Why?"] = expected = "\n Né\r\n\n😀 \x85\u2028\ufeff</p> ok.\n"
    url = f"{served.url}/agui"
    with httpx.Client() as client, httpx_sse.connect_sse(client, "POST", url, json=body()) as source:
        assert expected == text([json.loads(event.data) for event in source.iter_sse()])


def test_messages_open_and_close() -> None:
    """Thoughts and text are messages of their own, and none is open when the run finishes."""
    found = encoded(Reasoning("a"), Token("b"), Token("c"), DONE)
    assert [
        "RUN_STARTED", "REASONING_START", "REASONING_MESSAGE_START", "REASONING_MESSAGE_CONTENT",
        "REASONING_MESSAGE_END", "REASONING_END", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "RUN_FINISHED",
    ] == types(found)  # fmt: skip
    assert {"threadId": "t", "runId": "a"}.items() <= found[0].items()
    assert [{"model": "m", "inputTokens": 3, "outputTokens": 4, "totalTokens": 7}] == found[-1]["usage"]


def test_tools() -> None:
    """A call is told whole; the chain's result follows it; one of the client's own tools is told as input as well."""
    calls: list[Event] = [ToolCall("a", "search", {"q": 1}), ToolResult("a", ["x"]), ToolCall("b", "ask", {"x": 1})]
    found = encoded(*calls, DONE, tools={"ask"})
    call = ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END"]
    assert ["RUN_STARTED", *call, "TOOL_CALL_RESULT", *call, "CUSTOM", "RUN_FINISHED"] == types(found)
    assert ({"q": 1}, '["x"]') == (json.loads(found[2]["delta"]), found[4]["content"])
    assert {"toolCallId": "b", "toolName": "ask", "input": {"x": 1}} == found[-2]["value"]
    assert {"type": "success"} == found[-1]["outcome"]


def test_everything_else_is_custom() -> None:
    """States, data, and results of calls nobody was told of are custom events."""
    found = encoded(Status("loading", "Wait"), Data("sources", []), ToolResult("x", 1), DONE)
    assert ["status", "sources", "tool_result"] == [each["name"] for each in found[1:-1]]


@pytest.mark.parametrize(
    ("end", "expected"), [(Failed("upstream_truncated", "It broke off.", True), "RUN_ERROR"), (Cancelled("left"), "")]
)
def test_every_end_closes_what_is_open(end: Event, expected: str) -> None:
    """The open message is closed before an error and before a cancellation."""
    assert ["TEXT_MESSAGE_END", expected or "RUN_FINISHED"] == types(encoded(Token("a"), end))[-2:]


def test_early_error_is_a_status(served: Served) -> None:
    """A failure before the first token is a status with its code."""
    response = send(served, forwardedProps={"model": "nobody"})
    assert (404, "model_not_found") == (response.status_code, response.json()["code"])


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": []},
        {"resume": [{"interruptId": "i", "status": "resolved"}]},
        {"forwardedProps": {"options": {"num_gpu": 1}}},
        {
            "messages": [
                {"id": "1", "role": "user", "content": [{"type": "audio", "source": {"type": "url", "value": "x"}}]}
            ]
        },
    ],
)
def test_what_cannot_be_done_is_refused(served: Served, changes: dict[str, Any]) -> None:
    """What a client asks for and nobody here can do is a 400."""
    assert 400 == send(served, **changes).status_code


def test_tool_results_and_context_reach_the_model(served: Served, upstream: DemoOllama) -> None:
    """Tools are bound, results and what the page tells of itself are sent along; thoughts are not."""
    call = {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}
    said = [
        {"id": "1", "role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {"id": "2", "role": "reasoning", "content": "Hm"},
        {"id": "3", "role": "assistant", "toolCalls": [call]},
        {"id": "4", "role": "tool", "toolCallId": "c", "content": "Sunny"},
    ]
    context = [{"description": "The page", "value": "A map"}]
    asked: dict[str, Any] = {
        "messages": said,
        "context": context,
        "tools": [TOOL],
        "forwardedProps": {"model": "demo:tool-call"},
    }
    assert SENTENCE == text(frames(send(served, **asked).content))
    sent = upstream.requests[-1].body
    assert ["The page\nA map", "Weather?", "", "Sunny"] == [message["content"] for message in sent["messages"]]
    assert ["get_weather"] == [tool["function"]["name"] for tool in sent["tools"]]


def test_resume_at_every_event(served: Served) -> None:
    """Who comes back with any id gets what is missing, and nothing twice; after the last one 204."""
    whole = send(served, forwardedProps={"model": "demo:thinking", "thinking": True}).text.removeprefix(": open\n")
    blocks = whole.split("\n\n")[:-1]
    ids = {index: block.split("\n")[0][4:] for index, block in enumerate(blocks) if block.startswith("id: ")}
    *others, last = ids.items()
    for index, position in others:
        again = send(served, {"last-event-id": position}).text.removeprefix(": open\n")
        assert blocks[index + 1 :] == again.split("\n\n")[:-1]
    assert 204 == send(served, {"last-event-id": last[1]}).status_code


@pytest.mark.parametrize("position", ["garbage", "{run}-999"])
def test_resume_that_cannot_be_honoured(served: Served, position: str) -> None:
    """A position that isn't there is an error, never a new generation."""
    run = send(served).headers["x-run-id"]
    assert ["RUN_ERROR"] == types(frames(send(served, {"last-event-id": position.format(run=run)}).content))
    assert 404 == send(served, {"last-event-id": f"{'0' * 32}-1"}).status_code


def test_new_message_replaces_the_answer_that_goes_on(serve: Serve, settings: Settings) -> None:
    """A new message in a thread ends the answer before it."""
    served = serve(create_app(settings, chain=forever))
    first_body, second_body = body(), body(runId="r-2")
    with begun(served, "/agui", first_body) as (first, pieces, came), begun(served, "/agui", second_body):
        assert {"type": "cancelled"} == frames(came + b"".join(pieces))[-1]["outcome"]
    assert '"by":"replaced"' in get(f"{served.url}/runs/{first.headers['x-run-id']}/events").text
