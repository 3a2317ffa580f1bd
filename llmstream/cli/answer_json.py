"""An answer, or an error, as one JSON object for programs."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import closing
from typing import Any

import msgspec

from llmstream.cli import INTERRUPTED, exit_code
from llmstream.cli.interrupt_once import interrupt_once
from llmstream.errors import LlmstreamError
from llmstream.events import Cancelled, Event, Failed, Finished, Interrupted, Terminal, failed, json_value
from llmstream.view.answer import AnswerText
from llmstream.view.ending import end_state, why_incomplete


def print_answer(events: Generator[Event, None, None]) -> int:
    """Prints the answer that the events make, whatever came of it; the exit code is that of an answer for people."""
    answer, code = AnswerText(), None
    try:
        with interrupt_once(), closing(events):
            for event in events:
                answer.put([event])
    except KeyboardInterrupt:
        code = INTERRUPTED
    except LlmstreamError as error:
        answer.end, code = failed(error), exit_code(error)
    end = answer.end or Cancelled("stop")
    print_json(_fields(answer, end))
    return code if code is not None else 1 if why_incomplete(end) else 0


def print_error(error: LlmstreamError) -> int:
    """Prints an error in the place of what was asked for; returns the exit code."""
    print_json({"error": _error(failed(error))})
    return exit_code(error)


def print_json(value: Any) -> None:
    """Prints a value on one line, in which nothing steers a terminal: all but ASCII is escaped."""
    print(json.dumps(json_value(value)), flush=True)


def _fields(answer: AnswerText, end: Terminal) -> dict[str, Any]:
    """The answer's fields; null for what there is none of."""
    ended = end if isinstance(end, Finished | Interrupted) else None
    return {
        "state": end_state(end),
        "text": answer.text,
        "reasoning": answer.reasoning,
        "output": answer.output,
        "model": answer.model or None,
        "reason": end.reason if isinstance(end, Finished) else None,
        "usage": msgspec.to_builtins(ended.usage) if ended else None,
        "timings": msgspec.to_builtins(ended.timings) if ended else None,
        "interrupts": end.interrupts if isinstance(end, Interrupted) else [],
        "error": _error(end) if isinstance(end, Failed) else None,
    }


def _error(failure: Failed) -> dict[str, Any]:
    return {"code": failure.code, "message": failure.message, "retryable": failure.retryable}
