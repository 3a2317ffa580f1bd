"""Calls, results and thoughts of earlier answers, as people's clients send them again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.ollama_server.backend import Model
from tests.support.histories import HI, LINES, RESULT, Sent, openai_body, ui
from tests.support.pixel import PIXEL

ASK = {"role": "user", "content": "What time is it?"}


def called(arguments: object, **more: Any) -> Any:
    function = {"name": "now", "arguments": arguments}
    calls = [{"id": "c", "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls, **more}


@pytest.mark.parametrize("arguments", ["", "  \n", "null", "{}", None])
async def test_calls_without_arguments(arguments: Any, sent: Sent) -> None:
    """However a client writes that a call had no arguments, the model reads none."""
    found = await sent("/v1/chat/completions", openai_body(ASK, called(arguments), RESULT))
    assert {} == found[1]["tool_calls"][0]["function"]["arguments"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", openai_body(ASK, called("[1]"), RESULT)),
        ("/v1/chat/completions", openai_body(ASK, called("{broken"), RESULT)),
        ("/v1/chat/completions", openai_body(ASK, called("5"), RESULT)),
        ("/ollama/api/chat", openai_body(ASK, {**called([1]), "content": ""})),
        ("/ollama/v1/chat/completions", openai_body(ASK, called('"noon"'), RESULT)),
        ("/api/chat", {"id": "c", "messages": [ui("assistant", {
            "type": "tool-now", "toolCallId": "c", "state": "output-available", "input": [1], "output": 1})]}),
        ("/agui", {"threadId": "t", "runId": "r", "messages": [{"id": "1", "role": "assistant", "toolCalls": [
            {"id": "c", "function": {"name": "now", "arguments": "true"}}]}]}),
    ],
)  # fmt: skip
async def test_arguments_that_are_no_object(
    path: str, body: Any, ask: Callable[..., Awaitable[httpx.Response]]
) -> None:
    """Arguments that can't be arguments are refused with the name of what was called."""
    answer = await ask(path, body)
    assert (400, True) == (answer.status_code, "'now'" in answer.text), answer.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", openai_body({"role": "tool", "content": "12:00"}, HI)),
        ("/v1/chat/completions", openai_body({**RESULT, "tool_call_id": "gone"}, HI)),
        ("/ollama/api/chat", openai_body({"role": "tool", "content": "12:00"}, HI)),
        ("/agui", {"threadId": "t", "runId": "r", "messages": [
            {"id": "1", "role": "tool", "content": "12:00"}, {"id": "2", **HI}]}),
    ],
)  # fmt: skip
async def test_result_whose_call_was_cut_off(path: str, body: Any, sent: Sent) -> None:
    """A client that sends only the last messages may send a result without its call; the model reads it."""
    found = await sent(path, body)
    assert [("tool", "12:00"), ("user", "hi")] == [(each["role"], each["content"]) for each in found]


SEEN = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
AGUI_SEEN = {"type": "image", "source": {"type": "data", "value": PIXEL, "mimeType": "image/png"}}
TEXT = LINES[0]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", openai_body(
            ASK, called("{}"), {**RESULT, "content": [TEXT, SEEN]}, model="seer")),
        ("/ollama/api/chat", openai_body(
            ASK, {**called({}), "content": ""}, {**RESULT, "content": "one", "images": [PIXEL]}, model="seer")),
        ("/agui", {"threadId": "t", "runId": "r", "forwardedProps": {"model": "seer"}, "messages": [
            {"id": "1", **HI},
            {"id": "2", "role": "assistant", "toolCalls": [{"id": "c", "function": {"name": "now"}}]},
            {"id": "3", "role": "tool", "toolCallId": "c", "content": [TEXT, AGUI_SEEN]}]}),
    ],
)  # fmt: skip
async def test_picture_in_a_result(path: str, body: Any, sent: Sent, upstream: DemoOllama) -> None:
    """A picture that a tool gave is shown to the model as one, in every dialect whose results may hold one."""
    upstream.models["seer:latest"] = Model("seer:latest", ("completion", "tools", "vision"))
    found = (await sent(path, body))[-1]
    assert ("tool", "one", [PIXEL]) == (found["role"], found["content"].strip(), found.get("images"))


async def test_function_call_of_old(sent: Sent) -> None:
    """Calls and results as OpenAI wrote them before they had ids belong together."""
    call = {"role": "assistant", "content": None, "function_call": {"name": "now", "arguments": '{"zone": "UTC"}'}}
    found = await sent(
        "/v1/chat/completions", openai_body(ASK, call, {"role": "function", "name": "now", "content": "1"})
    )
    function = found[1]["tool_calls"][0]["function"]
    assert ({"zone": "UTC"}, found[1]["tool_calls"][0]["id"]) == (function["arguments"], found[2]["tool_call_id"])


THOUGHT = "Let me look at the clock."


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", openai_body(ASK, called("{}", reasoning_content=THOUGHT), RESULT)),
        ("/v1/chat/completions", openai_body(ASK, called("{}", reasoning=THOUGHT), RESULT)),
        ("/v1/chat/completions", openai_body(
            ASK, called("{}", content=[{"type": "thinking", "thinking": THOUGHT}, LINES[0]]), RESULT)),
        ("/ollama/api/chat", openai_body(ASK, {**called({}), "content": "", "thinking": THOUGHT}, RESULT)),
        ("/api/chat", {"id": "c", "messages": [ui("user", LINES[0]), ui(
            "assistant", {"type": "reasoning", "text": THOUGHT},
            {"type": "tool-now", "toolCallId": "c", "state": "output-available", "input": {}, "output": 1})]}),
        ("/agui", {"threadId": "t", "runId": "r", "messages": [
            {"id": "1", **HI}, {"id": "2", "role": "reasoning", "content": THOUGHT},
            {"id": "3", "role": "assistant", "toolCalls": [{"id": "c", "function": {"name": "now"}}]},
            {"id": "4", "role": "tool", "toolCallId": "c", "content": "12:00"}]}),
    ],
)  # fmt: skip
async def test_thoughts_between_calls(path: str, body: Any, sent: Sent) -> None:
    """A model that called a tool gets back what it thought before, to go on from there."""
    assert [THOUGHT] == [each["thinking"] for each in await sent(path, body) if each.get("thinking")]


async def test_thoughts_of_earlier_turns_are_over(sent: Sent) -> None:
    """What a model thought for an earlier question is not shown to it again."""
    earlier = {"role": "assistant", "content": "12:00", "reasoning_content": THOUGHT}
    found = await sent("/v1/chat/completions", openai_body(ASK, earlier, HI))
    assert "thinking" not in found[1]
