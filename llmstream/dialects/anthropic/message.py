"""Anthropic's Messages as one body: an answer, or an error."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from llmstream.events import Event, Finished, Interrupted, ToolCall, Usage
from llmstream.view.client_answer import WholeAnswer, finish_reason

_REASONS = {
    "stop": "end_turn", "length": "max_tokens", "content_filter": "refusal", "tool_calls": "tool_use",
    "other": "end_turn",
}  # fmt: skip
_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 503: "overloaded_error", 504: "timeout_error",
}  # fmt: skip


def message_body(run_id: str, model: str, events: Sequence[Event], *, max_calls: int | None = None) -> dict[str, Any]:
    """The one body of an answer that is complete, or asks something."""
    answer = WholeAnswer.of(run_id, events, max_calls)
    blocks: list[dict[str, Any]] = []
    if answer.thinking:
        blocks.append({"type": "thinking", "thinking": answer.thinking, "signature": ""})
    if answer.text:
        blocks.append({"type": "text", "text": answer.text})
    blocks += [call_block(call_id, call, call.arguments) for call_id, call in answer.calls.items()]
    return message(run_id, model, blocks, reason_of(answer.end, answer.calls), answer.end.usage)


def error_body(message: str, status: int) -> dict[str, Any]:
    """An error as the official clients read it."""
    return {"type": "error", "error": {"type": _TYPES.get(status, "api_error"), "message": message}}


def message(run_id: str, model: str, blocks: list[dict[str, Any]], reason: str | None, usage: Usage) -> dict[str, Any]:
    """A message as Messages has it; reason: None while it goes on."""
    return {
        "id": f"msg_{run_id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": usage_of(usage),
    }


def call_block(id: str, call: ToolCall, arguments: object) -> dict[str, Any]:
    """The block of a tool call."""
    return {"type": "tool_use", "id": id, "name": call.name, "input": arguments}


def reason_of(end: Finished | Interrupted, calls: Collection[str]) -> str:
    """The `stop_reason` of an answer with these calls for the client."""
    return _REASONS[finish_reason(end, calls)]


def usage_of(usage: Usage) -> dict[str, int]:
    """The counts of tokens; one that is not known is 0."""
    return {"input_tokens": usage.input_tokens or 0, "output_tokens": usage.output_tokens or 0}
