"""An answer that was cut and goes on: what is kept of a run for that, and the run that goes on from there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from llmstream.core.inputs import Input
from llmstream.core.job import Job
from llmstream.core.text_events import TextEvents
from llmstream.errors import InvalidRequest
from llmstream.events import (
    Cancelled,
    Continued,
    Event,
    Failed,
    Finished,
    Interrupted,
    Reasoning,
    Started,
    Status,
    Terminal,
    Token,
    size_of,
)
from llmstream.view.open_calls import OpenCalls

_NO_PART = (Started, Status, Finished, Failed, Cancelled, Interrupted)


@dataclass(frozen=True)
class Asked:
    """A run's question and how it was asked, kept as long as the run is in the log.

    job: without the chain's input; None where llmstream does not itself ask the model that answers. question: None
    where nobody is told of it. is_public: as of the run.
    """

    job: Job | None
    question: Input
    thread: str | None
    grace_s: float
    is_public: bool = False

    @staticmethod
    def of(job: Job, question: Input, thread: str | None, grace_s: float, is_public: bool = False) -> Asked:
        """The part of a job that is to be kept."""
        kept = dataclasses.replace(job, chain_input=None) if job.fast is not None else None
        return Asked(kept, question, thread, grace_s, is_public)

    @property
    def bytes(self) -> int:
        """About as many as the texts and images of the request take, of which the process may hold two."""
        fast = self.job.fast if self.job is not None else None
        return 0 if fast is None else 2 * _size(fast.body)


def can_continue(end: Event | None) -> bool:
    """True if a run with this end may be continued: it was cut, and does not wait for anybody."""
    return isinstance(end, Failed | Cancelled) or (isinstance(end, Finished) and end.reason == "length")


async def continuing(run_id: str, events: Sequence[Event], asked: Asked | None) -> Job:
    """The job that goes on from the answer of a run that has ended; raises `InvalidRequest` with why there is none."""
    end = events[-1] if events else None
    if not can_continue(end):
        raise InvalidRequest(_why_whole(end))  # type: ignore[arg-type]
    calls = OpenCalls()
    for event in events:
        calls.note(event)
    text = "".join(event.text for event in events if isinstance(event, Token))
    if calls.by_id(run_id):
        raise InvalidRequest("An answer that was cut in a tool call can't be continued. Ask again.")
    if not text.strip():
        raise InvalidRequest("There is no text of an answer to go on from. Ask again.")
    if asked is None:
        raise InvalidRequest(
            "This answer can't be continued here: only the server process that began it knows the question, and that "
            "is another one, or has ended. Ask again."
        )
    job = asked.job
    if job is None or job.fast is None or job.fast.body is None:
        raise InvalidRequest(
            "This chain's answer can't be continued: llmstream does not itself ask the model behind it. Ask again."
        )
    if job.demanded is not None:
        raise InvalidRequest("A tool call that was demanded can't be continued. Ask again.")
    kept = [*_joined(events), Continued(run_id)]
    if sum(map(size_of, kept)) > job.settings.max_run_bytes:
        raise InvalidRequest("The answer is as long as one may be, and can't be continued.")
    body = await job.fast.upstream.continuing(job.fast.body, text)
    return dataclasses.replace(job, fast=dataclasses.replace(job.fast, body=body), kept=kept)


def _why_whole(end: Terminal | None) -> str:
    if isinstance(end, Interrupted):
        return "This run waits for a person: answer it with `resume`."
    if isinstance(end, Finished) and end.reason == "tool_calls":
        return "This run ended with tool calls: send their results with the next question."
    return "This answer is complete: there is nothing to continue."


def _joined(events: Sequence[Event]) -> list[Event]:
    """All that a run said, each text as few events."""
    said: list[Event] = []
    for kind, group in groupby(events, type):
        if kind is Token or kind is Reasoning:
            text = "".join(event.text for event in group if isinstance(event, Token | Reasoning))
            said += TextEvents().cut(kind, text, None, None)
        elif kind not in _NO_PART:
            said += group
    return said


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, list | tuple) else 8
