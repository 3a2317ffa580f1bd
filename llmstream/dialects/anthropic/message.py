"""Anthropic's Messages as one body: an answer, or an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmstream.events import Event, Finished, Interrupted, Timings, ToolCall, Usage
from llmstream.view.answer import AnswerText, whole_text
from llmstream.view.client_calls import ClientCalls
from llmstream.view.interrupts import ASK_ELSEWHERE

_REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal", "tool_calls": "tool_use"}
_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 503: "overloaded_error", 504: "timeout_error",
}  # fmt: skip


def message_body(run_id: str, model: str, events: Sequence[Event], *, max_calls: int | None = None) -> dict[str, Any]:
    """The one body of an answer that is complete, or asks something."""
    open_calls, answer = ClientCalls(max_calls), AnswerText()
    answer.put(events)
    last: Finished | Interrupted = Finished("other", Usage(), Timings())
    for event in events:
        open_calls.note(event)
        if isinstance(event, Finished | Interrupted):
            last = event
    calls = open_calls.by_id(run_id) if isinstance(last, Finished) else {}
    blocks: list[dict[str, Any]] = []
    if answer.reasoning:
        blocks.append({"type": "thinking", "thinking": answer.reasoning, "signature": ""})
    if text := whole_text(events, ASK_ELSEWHERE):
        blocks.append({"type": "text", "text": text})
    blocks += [call_block(call_id, call, call.arguments) for call_id, call in calls.items()]
    return message(run_id, model, blocks, reason_of(last, calls), last.usage)


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


def reason_of(event: Finished | Interrupted, calls: object) -> str:
    """The `stop_reason` of an answer with these calls for the client."""
    if calls:
        return "tool_use"
    return "end_turn" if isinstance(event, Interrupted) else _REASONS.get(event.reason, "end_turn")


def usage_of(usage: Usage) -> dict[str, int]:
    """The counts of tokens; one that is not known is 0."""
    return {"input_tokens": usage.input_tokens or 0, "output_tokens": usage.output_tokens or 0}
