"""A response as OpenAI's clients read it, whole: its output so far, how it ended, and what was asked for.

Source: https://platform.openai.com/docs/api-reference/responses/object, and the schema of Open Responses.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmstream.events import Cancelled, Failed, Finished, Interrupted, Started, Terminal, Usage
from llmstream.view.ending import why_incomplete

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}

# What the schema demands and nobody here can tell: texts, tools and schemas of the request are not kept.
_UNSAID: dict[str, Any] = {
    "instructions": None, "max_tool_calls": None, "metadata": {}, "prompt_cache_key": None, "reasoning": None,
    "safety_identifier": None, "service_tier": "default", "text": {"format": {"type": "text"}}, "tool_choice": "auto",
    "tools": [], "top_logprobs": 0, "truncation": "disabled", "user": None,
}  # fmt: skip


class RepeatedFields(msgspec.Struct, frozen=True, omit_defaults=True):
    """The fields of a request that its response repeats; the defaults are OpenAI's."""

    background: bool = False
    frequency_penalty: float = 0
    max_output_tokens: int | None = None
    parallel_tool_calls: bool = True
    presence_penalty: float = 0
    previous_response_id: str | None = None
    store: bool = True
    temperature: float = 1
    top_p: float = 1

    @property
    def max_calls(self) -> int | None:
        """The number of calls that the client takes at once; None for any number."""
        return None if self.parallel_tool_calls else 1


def resource(
    run_id: str, said: RepeatedFields, started: Started, output: list[dict[str, Any]], end: Terminal | None
) -> dict[str, Any]:
    """The response; end: how it ended, None while it goes on."""
    done = end if isinstance(end, Finished | Interrupted) else None
    reason = _INCOMPLETE.get(end.reason) if isinstance(end, Finished) else None
    completed_at = started.created_at + (done.timings.total_s or 0) if done and reason is None else None
    return {
        "id": f"resp_{run_id}",
        "object": "response",
        "created_at": int(started.created_at),
        "completed_at": None if completed_at is None else int(completed_at),
        "status": status_of(end),
        "error": _error(end) if isinstance(end, Failed | Cancelled) else None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "model": started.model,
        "output": output,
        "usage": _usage(done.usage) if done else None,
        **{field: getattr(said, field) for field in said.__struct_fields__},
        **_UNSAID,
    }


def status_of(end: Terminal | None) -> str:
    """The status of a response, and of what it was in the middle of."""
    match end:
        case None:
            return "in_progress"
        case Failed():
            return "failed"
        case Cancelled():
            return "cancelled"
        case Finished(reason) if reason in _INCOMPLETE:
            return "incomplete"
    return "completed"


def _error(end: Failed | Cancelled) -> dict[str, str]:
    return {"code": end.code if isinstance(end, Failed) else "cancelled", "message": why_incomplete(end)}


def _usage(usage: Usage) -> dict[str, Any]:
    read, made = usage.input_tokens or 0, usage.output_tokens or 0
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + made,
    }
