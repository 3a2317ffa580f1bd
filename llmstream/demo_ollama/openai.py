"""The demo's face for OpenAI's clients: `/v1/chat/completions` and `/v1/models`, over Ollama's own endpoints.

Requests and lines are translated, so a model answers, and fails, in the same way behind both.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.types import Message, Send

from llmstream.ollama_server.lines import merged_lines
from llmstream.untrusted_json import json_object

COMPLETIONS, MODELS = "/v1/chat/completions", "/v1/models"
# Ollama's endpoint for each.
ENDPOINTS = {COMPLETIONS: "/api/chat", MODELS: "/api/tags"}

_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
}


def chat_body(body: dict[str, Any]) -> bytes:
    """A completion's request as one of Ollama's chat; what is of a wrong type stays so, for Ollama to refuse."""
    options = {name: body[sent] for sent, name in _OPTIONS.items() if body.get(sent) is not None}
    if isinstance(options.get("stop"), str):
        options["stop"] = [options["stop"]]
    messages = body.get("messages")
    chat = {
        "model": body.get("model"),
        "messages": [_message(each) for each in messages] if isinstance(messages, list) else messages,
        "tools": body.get("tools") or [],
        "options": options,
        "stream": True,
    }
    return json.dumps(chat).encode()


def _message(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return {**message, "content": content or ""}


class CompletionSend:
    """An ASGI `send` that turns Ollama's lines into chunks, or into one body.

    body: the completion's request.
    """

    def __init__(self, body: dict[str, Any], send: Send) -> None:
        self._streams = bool(body.get("stream"))  # until an error has begun
        self._usage = bool((body.get("stream_options") or {}).get("include_usage"))
        self._send = send
        self._head: dict[str, Any] = {"id": "chatcmpl-demo", "created": 0, "model": body.get("model")}
        self._start: Message = {}
        self._rest = b""
        self._lines: list[dict[str, Any]] = []
        self._calls = 0

    async def __call__(self, message: Message) -> None:
        """Takes a message of Ollama's answer."""
        if message["type"] == "http.response.start":
            self._start = message
            self._streams = self._streams and message["status"] < 400
            if self._streams:
                await self._begin(b"text/event-stream")
            return
        *lines, self._rest = (self._rest + message.get("body", b"")).split(b"\n")
        if not message.get("more_body"):
            lines, self._rest = [*lines, self._rest], b""
        if self._streams:
            await self._body("".join(self._chunks(line) for line in lines if line.strip()).encode(), more=True)
        else:
            self._lines += [json_object(line) for line in lines if line.strip()]
        if not message.get("more_body"):
            await self._end()

    async def _begin(self, content_type: bytes) -> None:
        await self._send({**self._start, "headers": [(b"content-type", content_type)]})

    async def _body(self, data: bytes, *, more: bool) -> None:
        if data or not more:
            await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def _end(self) -> None:
        if self._streams:
            return await self._body(b"", more=False)
        error = next((line["error"] for line in self._lines if "error" in line), None)
        if error is not None or not any(line.get("done") for line in self._lines):
            if self._start["status"] < 400:
                self._start = {**self._start, "status": 500}
            body = _error(error or "the answer broke off")
        else:
            body = self._whole(merged_lines(self._lines))
        await self._begin(b"application/json")
        await self._body(json.dumps(body).encode(), more=False)

    def _whole(self, line: dict[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", **self._delta(line["message"])}
        choice = {"index": 0, "message": message, "finish_reason": _reason(line, self._calls)}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": _tokens(line)}

    def _chunks(self, data: bytes) -> str:
        line = json_object(data)
        if not isinstance(line.get("message"), dict):  # an error, or whatever a scenario sends instead of a line
            shown = json.dumps(_error(line["error"])) if "error" in line else data.decode(errors="replace")
            return f"data: {shown}\n\n"
        delta = self._delta(line["message"])
        reason = _reason(line, self._calls) if line.get("done") else None
        chunk = {**self._head, "object": "chat.completion.chunk"}
        said = _event({**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
        if reason and self._usage:
            said += _event({**chunk, "choices": [], "usage": _tokens(line)})
        return said + "data: [DONE]\n\n" if reason else said

    def _delta(self, message: dict[str, Any]) -> dict[str, Any]:
        delta = {"content": message.get("content", "")}
        if thinking := message.get("thinking"):
            delta["reasoning_content"] = thinking
        if calls := message.get("tool_calls"):
            delta["tool_calls"] = [_call(call, self._calls + n) for n, call in enumerate(calls)]
            self._calls += len(calls)
        return delta


def models_send(send: Send) -> Send:
    """An ASGI `send` that turns Ollama's list of models, whose body is one message, into OpenAI's."""

    async def send_models(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [(b"content-type", b"application/json")]}
        else:
            names = [model["name"] for model in json.loads(message["body"])["models"]]
            models = [{"id": name, "object": "model", "created": 0, "owned_by": "demo"} for name in names]
            message = {**message, "body": json.dumps({"object": "list", "data": models}).encode()}
        await send(message)

    return send_models


def _call(call: dict[str, Any], index: int) -> dict[str, Any]:
    function = {"name": call["function"]["name"], "arguments": json.dumps(call["function"]["arguments"])}
    return {"index": index, "id": call["id"], "type": "function", "function": function}


def _reason(line: dict[str, Any], calls: int) -> str:
    return "tool_calls" if calls else str(line.get("done_reason", "stop"))


def _tokens(line: dict[str, Any]) -> dict[str, int]:
    read, made = line.get("prompt_eval_count", 0), line.get("eval_count", 0)
    return {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made}


def _error(text: str) -> dict[str, Any]:
    return {"error": {"message": text, "type": "api_error", "param": None, "code": None}}


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"
