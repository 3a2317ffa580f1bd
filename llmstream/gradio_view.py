"""From the events of a run to the messages that a Gradio chatbot shows; no Gradio here.

The answer's text is one message, or several where tools came between; everything else (thinking, tools, sources,
errors) is a message with a title, which Gradio shows as a folded note, and which a chain is not told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmstream.events import (
    Cancelled,
    Data,
    Event,
    Failed,
    Finished,
    Reasoning,
    Started,
    Status,
    Token,
    ToolCall,
    ToolResult,
)
from llmstream.gradio_messages import TRY_AGAIN, Message, escape, fenced, message, source_list

GO_ON = "Go on."


@dataclass
class _Part:
    """One message: text, thinking, a tool or a note."""

    kind: str
    title: str = ""
    pieces: list[str] = field(default_factory=list)
    began: float = 0.0
    duration_s: float | None = None
    pending: bool = False


class View:
    """What a run looks like so far.

    run_id: goes into the metadata of the answer. clock: in seconds.
    """

    def __init__(self, *, run_id: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self.run_id = run_id
        self.ended: Finished | Failed | Cancelled | None = None
        self.seen = 0
        self.line = ""
        self._clock = clock
        self._began = clock()
        self._model = ""
        self._waiting = ""
        self._cut = False
        self._parts: list[_Part] = []
        self._tools: dict[str, _Part] = {}

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(piece for part in self._parts if part.kind == "text" for piece in part.pieces)

    @property
    def streaming(self) -> bool:
        """Whether anything has come from the model."""
        return bool(self._parts)

    def put(self, events: Sequence[Event]) -> None:
        """Take events in."""
        self.seen += len(events)
        for event in events:
            match event:
                case Token(text):
                    self._live("text", "").pieces.append(text)
                case Reasoning(text):
                    self._live("thinking", "Thinking").pieces.append(text)
                case _:
                    self._put_rare(event)

    def messages(self) -> list[Message]:
        """The messages of the answer as they are now."""
        found = [self._message(part) for part in self._parts]
        last = self._parts[-1] if self._parts else None
        if self.ended is None and (last is None or (last.kind == "note" and not last.pending)):
            found.append(_titled(self._waiting_title(), "", status="pending"))
        if found and (options := _options(self.ended)):
            found[-1]["options"] = options
        return found

    def fail(self, code: str, message: str, *, retryable: bool = False) -> None:
        """The answer could not begin."""
        self.put([Failed(code, message, retryable)])

    def _put_rare(self, event: Event) -> None:
        match event:
            case Started(model):
                self._model = model
            case Status("prompt_truncated"):
                self._cut = True
            case Status(state, detail, position):
                place = f"Waiting in line, number {position}" if position else "Waiting in line"
                self._waiting = place if state == "queued" else detail.rstrip(".")
            case ToolCall(id, name, arguments):
                part = self._note(f"Tool: {name}", fenced(arguments), pending=True)
                self._tools[id] = part
            case ToolResult(id, output):
                known = self._tools.pop(id, None) or self._note("Tool", "")
                self._end(known)
                known.pieces.append(fenced(output))
            case Data("sources", value) if isinstance(value, list):
                self._note(f"Sources ({len(value)})", source_list(value))
            case Data(name, value):
                self._note(name, fenced(value))
            case Finished() | Failed() | Cancelled():
                self._finish(event)

    def _finish(self, event: Finished | Failed | Cancelled) -> None:
        for part in self._parts:
            self._end(part)
        self.ended = event
        if isinstance(event, Failed):
            title = "The answer is not complete" if self.text else "No answer"
            self._parts.append(_Part("error", f"⚠️ {title}", [event.message]))
        elif isinstance(event, Cancelled):
            self._note("Stopped", "The answer was stopped here.")
        elif not self.text and not self._tools and event.reason != "tool_calls":
            self._note("Empty answer", "The model answered nothing.")
        self.line = stats_line(event, self._model, cut=self._cut)

    def _live(self, kind: str, title: str) -> _Part:
        """The part that grows, a new one where the last is of another kind."""
        last = self._parts[-1] if self._parts else None
        if last is not None and last.kind == kind:
            return last
        if last is not None and last.kind == "thinking":
            self._end(last)
        part = _Part(kind, title, began=self._clock(), pending=True)
        self._parts.append(part)
        return part

    def _note(self, title: str, text: str, *, pending: bool = False) -> _Part:
        if self._parts and self._parts[-1].kind == "thinking":
            self._end(self._parts[-1])
        part = _Part("note", title, [text], began=self._clock(), pending=pending)
        self._parts.append(part)
        return part

    def _end(self, part: _Part) -> None:
        if part.pending:
            part.pending = False
            part.duration_s = round(self._clock() - part.began, 1)

    def _message(self, part: _Part) -> Message:
        text = "".join(part.pieces)
        if part.kind == "text":
            return message("assistant", text, {"id": self.run_id} if self.run_id else None)
        if part.kind == "error":
            return _titled(part.title, text)
        if part.pending:
            return _titled(part.title, text, status="pending")
        duration = {} if part.duration_s is None else {"duration": part.duration_s}
        return _titled(part.title, text, status="done", **duration)

    def _waiting_title(self) -> str:
        waited_s = self._clock() - self._began
        what = self._waiting or f"Waiting for {self._model or 'the answer'}"
        return f"{what} · {waited_s:.1f} s" if waited_s >= 0.4 else what


def stats_line(event: Finished | Failed | Cancelled, model: str, *, cut: bool = False) -> str:
    """The line under an answer, in Markdown."""
    if not isinstance(event, Finished):
        return ""
    timings, tokens = event.timings, event.usage.output_tokens
    parts = [
        "" if timings.time_to_first_token_s is None else f"{_seconds(timings.time_to_first_token_s)} to first token",
        "" if tokens is None else f"{tokens} token{'' if tokens == 1 else 's'}",
        "" if timings.tokens_per_s is None else f"{timings.tokens_per_s:,.1f} tokens/s",
        escape(model),
        "cut at its length limit" if event.reason == "length" else "",
        "the conversation was cut to fit the model" if cut or event.prompt_truncated else "",
    ]
    return " · ".join(part for part in parts if part)


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _titled(title: str, text: str, **metadata: Any) -> Message:
    return message("assistant", text, {"title": title, **metadata})


def _options(ended: Finished | Failed | Cancelled | None) -> list[dict[str, str]] | None:
    if isinstance(ended, Failed) and ended.retryable:
        return [{"value": TRY_AGAIN, "label": TRY_AGAIN}]
    if isinstance(ended, Finished) and ended.reason == "length":
        return [{"value": GO_ON, "label": "Go on"}]
    return None
