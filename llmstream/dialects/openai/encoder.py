"""OpenAI's chat completions: a stream of chunks, or one body.

Source: https://platform.openai.com/docs/api-reference/chat-streaming, and what the official clients raise on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii as escape
from typing import Any

from llmstream.events import Cancelled, Event, Failed, Finished, Interrupted, Reasoning, Started, Token, ToolCall, Usage
from llmstream.http.encoder import DONE, Encoder, cannot_continue, dumps
from llmstream.view.client_answer import ClientAnswer, WholeAnswer, finish_reason
from llmstream.view.ending import why_incomplete

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class OpenAIEncoder(Encoder):
    """The `Encoder` of chat completions; fed from the first event: a call is told once nobody here answered it.

    model: the name the client used. include_usage: whether the client wants the usage in the end. max_calls: how many
    calls it takes at once; None for any number.
    """

    def __init__(self, run_id: str, *, model: str, include_usage: bool = False, max_calls: int | None = None) -> None:
        self._run_id = run_id
        self._model = model
        self._include_usage = include_usage
        self._head = ""
        self._answer = ClientAnswer(max_calls)

    def encode(self, first: int, events: Sequence[Event]) -> bytes:
        """The chunks for these events."""
        frames: list[str] = []
        content, reasoning = self._around()
        answer, thinking = self._answer.texts[Token], self._answer.texts[Reasoning]
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
        text = self._answer.rare(event)
        if isinstance(event, Finished | Interrupted):
            return (self._chunk({"content": text}) if text else "") + self._finish(event)
        if isinstance(event, Failed | Cancelled):
            code, status = (event.code, 500) if isinstance(event, Failed) else ("cancelled", 409)
            return _error_frame(why_incomplete(event), code, status)
        return ""

    def _finish(self, event: Finished | Interrupted) -> str:
        calls = self._answer.calls(self._run_id)
        frames = [self._chunk({"tool_calls": [{"index": n, **call}]}) for n, call in enumerate(calls_body(calls))]
        frames.append(self._chunk({}, _reason(event, calls)))
        if self._include_usage:
            frames.append(f'{self._head},"choices":[],"usage":{dumps(usage_body(event.usage))}}}\n\n')
        return "".join([*frames, DONE])

    def lost(self, reason: str) -> bytes:
        """An error chunk: a client of this dialect never comes back."""
        return _error_frame(cannot_continue(reason), "run_not_found", 404).encode("ascii")


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
    answer = WholeAnswer.of(run_id, events, max_calls)
    text: str | None = answer.text if answer.text or not answer.calls else None
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if answer.thinking:
        message |= {"reasoning_content": answer.thinking, "reasoning": answer.thinking}
    if answer.calls:
        message["tool_calls"] = calls_body(answer.calls)
    reason = _reason(answer.end, answer.calls)
    return {
        "id": f"chatcmpl-{run_id}",
        "object": "chat.completion",
        "created": int(answer.created_at),
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "usage": usage_body(answer.end.usage),
    }


def _reason(end: Finished | Interrupted, calls: Mapping[str, ToolCall]) -> str:
    reason = finish_reason(end, calls)
    return "stop" if reason == "other" else reason


def usage_body(usage: Usage) -> dict[str, int]:
    """Tokens in and out by OpenAI's names."""
    read, made = usage.input_tokens or 0, usage.output_tokens or 0
    return {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made}


def error_body(message: str, code: str, status: int) -> dict[str, Any]:
    """The body of an error as both official clients read it."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _error_frame(message: str, code: str, status: int) -> str:
    return f"data: {dumps(error_body(message, code, status))}\n\n{DONE}"


def model_body(name: str) -> dict[str, Any]:
    """One model."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "llmstream"}
