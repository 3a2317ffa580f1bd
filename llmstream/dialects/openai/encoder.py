"""OpenAI's chat completions: a stream of chunks, or one body.

Source: https://platform.openai.com/docs/api-reference/chat-streaming, and what the official clients raise on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii as escape
from typing import Any

from llmstream.events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    Interrupted,
    Reasoning,
    Started,
    Timings,
    Token,
    ToolCall,
    Usage,
)
from llmstream.http.encoder import HEARTBEAT, cannot_continue, dumps, why_incomplete
from llmstream.view.answer import AnswerText, OneText, whole_text
from llmstream.view.client_calls import ClientCalls
from llmstream.view.interrupts import ASK_ELSEWHERE

DONE = "data: [DONE]\n\n"

_REASONS = {"stop": "stop", "length": "length", "content_filter": "content_filter"}
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class OpenAIEncoder:
    """The `Encoder` of chat completions; fed from the first event: a call is told once nobody here answered it.

    model: the name the client used. include_usage: whether the client wants the usage in the end. max_calls: how many
    calls it takes at once; None for any number.
    """

    numbered = False
    heartbeat = HEARTBEAT

    def __init__(self, run_id: str, *, model: str, include_usage: bool = False, max_calls: int | None = None) -> None:
        self.start = 0
        self._run_id = run_id
        self._model = model
        self._include_usage = include_usage
        self._head = ""
        self._calls = ClientCalls(max_calls)
        self._answer, self._thinking = OneText(ASK_ELSEWHERE), OneText()

    def encode(self, first: int, events: Sequence[Event]) -> bytes:
        """The chunks for these events."""
        frames: list[str] = []
        content, reasoning = self._around()
        answer, thinking = self._answer, self._thinking
        for event in events:
            if type(event) is Token:
                text = event.text if event.message is answer.message else answer.text_of(event)
                frames.append(f"{content}{escape(text)}{_TAIL}")
            elif type(event) is Reasoning:
                text = escape(thinking.text_of(event))
                frames.append(f'{reasoning}{text},"reasoning":{text}{_TAIL}')
            elif type(event) is Started:
                self._head = _head(self._run_id, int(event.created_at), self._model)
                frames.append(self._chunk({"role": "assistant", "content": ""}))
                content, reasoning = self._around()
            else:
                frames.append(self._rare(event))
        return "".join(frames).encode("ascii")

    def _around(self) -> tuple[str, str]:
        """The beginnings of a token's and of a thought's chunk, which are written once per token."""
        choices = f'{self._head},"choices":[{{"index":0,"delta":{{'
        return f'{choices}"content":', f'{choices}"reasoning_content":'

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return f'{self._head},"choices":[{dumps(choice)}]}}\n\n'

    def _rare(self, event: Event) -> str:
        self._calls.note(event)
        self._thinking.rare(event)
        text = self._answer.rare(event)
        said = self._chunk({"content": text}) if text else ""
        if isinstance(event, Interrupted):  # the calls it waits with are not the client's
            return said + self._end(event.usage, "stop")
        if isinstance(event, Finished):
            return said + self._finish(event)
        if isinstance(event, Failed | Cancelled):
            code, status = (event.code, 500) if isinstance(event, Failed) else ("cancelled", 409)
            return f"data: {dumps(error_body(why_incomplete(event), code, status))}\n\n{DONE}"
        return ""

    def _finish(self, event: Finished) -> str:
        calls = calls_body(self._calls.by_id(self._run_id))
        frames = [self._chunk({"tool_calls": [{"index": n, **call}]}) for n, call in enumerate(calls)]
        return "".join([*frames, self._end(event.usage, _reason(event, calls))])

    def _end(self, usage: Usage, reason: str) -> str:
        end = self._chunk({}, reason)
        if self._include_usage:
            end += f'{self._head},"choices":[],"usage":{dumps(usage_body(usage))}}}\n\n'
        return end + DONE

    def lost(self, reason: str) -> bytes:
        """An error chunk: a client of this dialect never comes back."""
        error = error_body(cannot_continue(reason), "run_not_found", 404)
        return f"data: {dumps(error)}\n\n{DONE}".encode("ascii")


_TAIL = '},"finish_reason":null}]}\n\n'


def _head(run_id: str, created: int, model: str) -> str:
    fields = {"id": f"chatcmpl-{run_id}", "object": "chat.completion.chunk", "created": created, "model": model}
    return f"data: {dumps(fields)[:-1]}"


def calls_body(calls: Mapping[str, ToolCall]) -> list[dict[str, Any]]:
    """The calls by their ids in OpenAI's form."""
    return [
        {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
        for call_id, call in calls.items()
    ]


def completion(run_id: str, model: str, events: Sequence[Event], *, max_calls: int | None = None) -> dict[str, Any]:
    """The one body of an answer that is complete, or asks something."""
    calls, created, last = ClientCalls(max_calls), 0, Finished("other", Usage(), Timings())
    answer = AnswerText()
    answer.put(events)
    for event in events:
        calls.note(event)
        if isinstance(event, Started):
            created = int(event.created_at)
        elif isinstance(event, Finished):
            last = event
        elif isinstance(event, Interrupted):
            last, calls = Finished("stop", event.usage, event.timings), ClientCalls()
    text, thinking = whole_text(events, ASK_ELSEWHERE), answer.reasoning
    made = calls_body(calls.by_id(run_id))
    message: dict[str, Any] = {"role": "assistant", "content": text if text or not made else None}
    if thinking:
        message |= {"reasoning_content": thinking, "reasoning": thinking}
    if made:
        message["tool_calls"] = made
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(last, made)}
    return {
        "id": f"chatcmpl-{run_id}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [choice],
        "usage": usage_body(last.usage),
    }


def _reason(event: Finished, calls: Sequence[object]) -> str:
    return "tool_calls" if calls else _REASONS.get(event.reason, "stop")


def usage_body(usage: Usage) -> dict[str, int]:
    """Tokens in and out by OpenAI's names."""
    read, made = usage.input_tokens or 0, usage.output_tokens or 0
    return {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made}


def error_body(message: str, code: str, status: int) -> dict[str, Any]:
    """The body of an error as both official clients read it."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def model_body(name: str) -> dict[str, Any]:
    """One model."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "llmstream"}
