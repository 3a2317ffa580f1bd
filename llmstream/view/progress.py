"""The looks of a run so far: its events put together as the parts that a surface shows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from llmstream.events import (
    Cancelled,
    Continued,
    Data,
    Event,
    Failed,
    Finished,
    Interrupted,
    Reasoning,
    Started,
    Status,
    Terminal,
    Token,
    ToolCall,
    ToolResult,
    Withdrawn,
)
from llmstream.ollama.forecast import about
from llmstream.view.answer import AnswerText, parsed
from llmstream.view.ending import NOTHING, why_incomplete
from llmstream.view.interrupts import in_words
from llmstream.view.markdown import escape, fenced, source_list
from llmstream.view.stats_line import stats_line

# What an object of the chain's belongs to, so that no text is added to it.
_OBJECT = "output"
_BAR = 10


@dataclass
class Part:
    """A stretch of one kind; all but text have a title: thinking, a note (a tool, sources, …), and at the end what a
    person is asked, or how an answer ended that is not simply complete.

    A note's text is Markdown made of escaped text. pending: whether more of it may come. message: of the chain, to
    which a text, a thought or a call belongs.
    """

    kind: Literal["text", "thinking", "note", "question", "ending"]
    title: str = ""
    pieces: list[str] = field(default_factory=list)
    began: float = 0.0
    duration_s: float | None = None
    pending: bool = False
    message: str | None = None

    @property
    def text(self) -> str:
        """The text of the part so far."""
        return "".join(self.pieces)


class Progress:
    """The parts of a run so far.

    is_json: whether the text is JSON, since a `format` was asked for. clock: in seconds.
    ended: the terminal event. seen: how many events were taken in. line: the statistics under a finished answer, in
    Markdown.
    """

    def __init__(self, *, is_json: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_json = is_json
        self.ended: Terminal | None = None
        self.seen = 0
        self.line = ""
        self._clock = clock
        self._began = clock()
        self._model = ""
        self._waiting = ""
        self._cut = self._continued = False
        self.parts: list[Part] = []
        self._answer = AnswerText()
        self._tools: dict[str, Part] = {}
        self._output: Part | None = None
        self._objects: list[Part] = []

    @property
    def text(self) -> str:
        """The answer so far, with a blank line between its messages."""
        return self._answer.text

    @property
    def reasoning(self) -> str:
        """The thinking so far."""
        return self._answer.reasoning

    @property
    def output(self) -> Any:
        """The object that the answer is, or that comes beside its text; None where there is none, or not all of it."""
        return parsed(self.text) if self.is_json else self._answer.output

    @property
    def plain(self) -> str:
        """The answer as plain text: exactly the model's, or the chain's object as JSON where there is no text."""
        is_object = not self.text and self.output is not None
        return json.dumps(self.output, ensure_ascii=False, indent=2) if is_object else self.text

    def put(self, events: Sequence[Event]) -> None:
        """Takes events in."""
        self.seen += len(events)
        self._answer.put(events)
        for event in events:
            match event:
                case Token(text, message):
                    self._live("text", "", message).pieces.append(text)
                case Reasoning(text, message):
                    self._live("thinking", "Thinking", message).pieces.append(text)
                case _:
                    self._put_rare(event)

    @property
    def waiting(self) -> str:
        """The text that says what is waited for, and for how long; empty while something comes, and at the end."""
        last = self.parts[-1] if self.parts else None
        if self.ended is not None or (last is not None and (last.kind != "note" or last.pending)):
            return ""
        waited_s = self._clock() - self._began
        what = self._waiting or f"Waiting for {self._model or 'the answer'}"
        return f"{what} · {waited_s:.1f} s" if waited_s >= 0.4 else what

    def _put_rare(self, event: Event) -> None:
        match event:
            case Started(model):
                self._model = model
            case Continued():
                self._continued = True
            case Status("prompt_truncated"):
                self._cut = True
            case Status():
                self._waiting = bar(event) + (_place(event) if event.state == "queued" else event.detail.rstrip("."))
            case ToolCall(id, name, arguments, message):
                part = self._note(f"Tool: {name}", fenced(arguments), pending=True, message=message)
                self._tools[id] = part
            case Withdrawn(message):
                self.parts[:] = [part for part in self.parts if part.message != message]
                self._tools = {call: part for call, part in self._tools.items() if part.message != message}
            case ToolResult(id, output):
                known = self._tools.pop(id, None) or self._note("Tool", "")
                self._end(known)
                known.pieces.append(fenced(output))
            case Data("sources", value, message) if isinstance(value, list):
                self._note(f"Sources ({len(value)})", source_list(value), message=message)
            case Data("output", value):  # the whole so far, which takes the place of what was there
                self._output = self._output or self._object()
                self._output.pieces[:] = [fenced(value).rstrip()]
            case Data("custom", value):
                self._note("custom", fenced(value))
            case Data(name, value):
                self._objects.append(self._note(name, fenced(value)))
            case Finished() | Failed() | Cancelled() | Interrupted():
                self._finish(event)

    def _finish(self, event: Terminal) -> None:
        for part in self.parts:
            self._end(part)
        self.ended = event
        if isinstance(event, Interrupted):
            self.parts.append(Part("question", "Waiting for you", [in_words(event.interrupts)]))
        elif why := why_incomplete(event):
            title = "⚠️ The answer is not complete" if self.plain else "⚠️ No answer"
            self._end_with("Stopped" if isinstance(event, Cancelled) else title, why)
        elif not self.text and not self._tools:
            self._finish_without_text()
        self.line = stats_line(event, escape(self._model), cut=self._cut, continued=self._continued)

    def _finish_without_text(self) -> None:
        """Shows the objects that a chain gave as its answer, as one; else says that there is none."""
        if self.output is None:
            return self._end_with("Empty answer", NOTHING)
        self.parts[:] = [part for part in self.parts if not any(part is each for each in self._objects)]
        self._object().pieces.append(fenced(self.output).rstrip())

    def _object(self) -> Part:
        part = Part("text", message=_OBJECT)
        self._objects.append(part)
        self.parts.append(part)
        return part

    def _live(self, kind: Literal["text", "thinking"], title: str, message: str | None) -> Part:
        """The part that grows, a new one where the last is of another kind or message."""
        last = self.parts[-1] if self.parts else None
        if last is not None and (last.kind, last.message) == (kind, message):
            return last
        if last is not None and last.kind == "thinking":
            self._end(last)
        part = Part(kind, title, began=self._clock(), pending=True, message=message)
        self.parts.append(part)
        return part

    def _note(self, title: str, text: str, *, pending: bool = False, message: str | None = None) -> Part:
        if self.parts and self.parts[-1].kind == "thinking":
            self._end(self.parts[-1])
        part = Part("note", title, [text], began=self._clock(), pending=pending, message=message)
        self.parts.append(part)
        return part

    def _end_with(self, title: str, text: str) -> None:
        self.parts.append(Part("ending", title, [text]))

    def _end(self, part: Part) -> None:
        if part.pending:
            part.pending = False
            part.duration_s = round(self._clock() - part.began, 1)


def bar(status: Status) -> str:
    """A bar for how far a wait is, and a space behind it; empty where that is not known."""
    if status.progress is None:
        return ""
    full = round(status.progress * _BAR)
    return f"{'█' * full}{'░' * (_BAR - full)} "


def _place(status: Status) -> str:
    place = f", number {status.position}" if status.position else ""
    return f"Waiting in line{place}" + ("" if status.eta_s is None else f", {about(status.eta_s)}")
