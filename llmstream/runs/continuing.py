"""An answer that was cut and goes on: what is kept of a run for that, and the run that goes on from there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import msgspec

from llmstream.core.answer.text_events import TextEvents
from llmstream.core.job import Job
from llmstream.core.question.inputs import Arguments, Input
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
from llmstream.settings import Thinking
from llmstream.view.client_calls import ClientCalls

NOT_OURS = "This chain's answer can't be continued: llmstream does not itself ask the model behind it. Ask again."

_NO_PART = (Started, Status, Finished, Failed, Cancelled, Interrupted)


class Wishes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The wishes of a client to the default chain; see `astream`. model: the one that answers."""

    model: str | None = None
    thinking: Thinking | None = None
    options: Mapping[str, Any] | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    format: str | Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Asked:
    """A run's question and how it was asked, kept as long as the run is in the log.

    job: without the chain's input; None where llmstream does not itself ask the model that answers. question: None
    where nobody is told of it. is_public, chat: as of the run. wishes: of which the default chain was made.
    """

    job: Job | None
    question: Input
    thread: str | None
    grace_s: float
    is_public: bool = False
    chat: str = ""
    wishes: Wishes = field(default_factory=Wishes)

    @staticmethod
    def of(job: Job, question: Input, arguments: Arguments, grace_s: float, is_public: bool, chat: str) -> Asked:
        """The part of a job and of the arguments of `astream` that is to be kept."""
        kept = dataclasses.replace(job, chain_input=None) if job.fast is not None else None
        wishes = Wishes()
        if arguments.get("chain") is None:
            wishes = Wishes(
                model=job.model,
                thinking=arguments.get("thinking"),
                options=arguments.get("options"),
                tools=arguments.get("tools", ()),
                format=arguments.get("format"),
            )
        return Asked(kept, question, arguments.get("thread"), grace_s, is_public, chat, wishes)

    @property
    def body(self) -> Mapping[str, Any] | None:
        """The request to the model; None where there is none, or not yet."""
        return None if self.job is None or self.job.fast is None else self.job.fast.body

    @property
    def bytes(self) -> int:
        """About as many as the texts and images of the request take, of which the process may hold two."""
        return 2 * size_of_json(self.body)


def can_continue(end: Event | None) -> bool:
    """True if a run with this end may be continued: it was cut, and does not wait for anybody."""
    return isinstance(end, Failed | Cancelled) or (isinstance(end, Finished) and end.reason == "length")


def cut_text(run_id: str, events: Sequence[Event]) -> str:
    """The text of a run that has ended, to go on from; raises `InvalidRequest` with why nobody can."""
    end = events[-1] if events else None
    if not can_continue(end):
        raise InvalidRequest(_why_whole(end))  # type: ignore[arg-type]
    calls = ClientCalls()
    for event in events:
        calls.note(event)
    text = "".join(event.text for event in events if isinstance(event, Token))
    if calls.by_id(run_id):
        raise InvalidRequest("An answer that was cut in a tool call can't be continued. Ask again.")
    if not text.strip():
        raise InvalidRequest("There is no text of an answer to go on from. Ask again.")
    return text


async def continuing(run_id: str, events: Sequence[Event], text: str, asked: Asked) -> Job:
    """The job that goes on from a run's text; raises `InvalidRequest` with why there is none."""
    job = asked.job
    if job is None or job.fast is None or job.fast.body is None:
        raise InvalidRequest(NOT_OURS)
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


def size_of_json(value: Any) -> int:
    """About as many bytes as a value takes as JSON, at least as many as its texts have characters."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(size_of_json, value.values()))
    return sum(map(size_of_json, value)) if isinstance(value, list | tuple) else 8
