"""Texts of an answer made into events: well-formed, bounded, counted, timed, with exactly one terminal event."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from llmstream.core.answer.demanded_call import DemandedCall
from llmstream.core.answer.text_events import MAX_TEXT, TextEvents
from llmstream.core.answer.think_tags import ThinkTags
from llmstream.errors import LimitExceeded, LlmstreamError
from llmstream.events import (
    Event,
    Finished,
    FinishReason,
    Interrupt,
    Interrupted,
    Reasoning,
    Status,
    Terminal,
    Timings,
    Token,
    ToolCall,
    ToolResult,
    Usage,
    failed,
    json_value,
    size_of,
)
from llmstream.ollama.chunks import Chunk, LastChunk
from llmstream.settings import Settings

Sink = Callable[[list[Event]], object]

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
}


class Emitter:
    """Hands events to a sink, in order, until the terminal one; what comes after that is dropped.

    demanded: the call that the text of the answer is, and is told as. on_over: called once the answer is too large.
    """

    def __init__(self, sink: Sink, settings: Settings, *, demanded: DemandedCall | None = None) -> None:
        self.ended = False
        self.error: LlmstreamError | None = None
        self.silent = True
        self._sink = sink
        self._demanded = demanded
        self._max_events, self._max_bytes = settings.max_run_events, settings.max_run_bytes
        self._events = self._statuses = self._bytes = self._tokens = 0
        self._begun = time.monotonic()
        self._first_token_at: float | None = None
        self._texts = TextEvents()
        self._prompt_truncated = self._tool_called = False
        self.over: LimitExceeded | None = None
        self.on_over: Callable[[], None] = lambda: None
        self._think_tags: ThinkTags | None = ThinkTags()  # None once a message's text has begun
        self._message: str | None = None

    def emit(self, events: list[Event]) -> None:
        """Hands on events that came together and hold no piece of a text."""
        self.count(sum(map(size_of, events)))
        self._put(events)

    def count(self, size: int) -> None:
        """Counts `size` more bytes of the answer, before they are told."""
        self._bytes += size
        if self._bytes > self._max_bytes:
            self._end_at(f"{self._max_bytes} bytes")

    def _end_at(self, limit: str) -> None:
        if self.over is None:
            self.over = LimitExceeded(f"The answer grew beyond {limit} and was cut.")
            self.on_over()

    def _put(self, events: list[Event]) -> None:
        if self._think_tags is not None:
            events = self._think_tags.put(events)
            if self._think_tags.done:
                self._think_tags = None
        if not self.ended and events:
            self.silent = False
            self._events += len(events)
            if self._events > self._max_events:
                self._end_at(f"{self._max_events} events")
            if self._demanded is None or (events := self._demanded.take(events)):
                self._sink(events)

    def status(self, status: Status) -> None:
        """Emits what the run waits for, while nothing of the answer has come, or what was done to its prompt."""
        truncated = status.state == "prompt_truncated"
        self._prompt_truncated |= truncated
        if truncated or self._events == self._statuses:
            self._statuses += 1
            self.emit([status])

    def text(self, text: str, message: str | None = None, name: str | None = None) -> None:
        """Emits a piece of the answer; message and name: see `llmstream.events`."""
        if message != self._message:
            self._message = message
            if self._think_tags is not None:
                self._put(self._think_tags.end(None))
            self._think_tags = ThinkTags()
        self._put(self._text_events(Token, text, message, name))

    def reasoning(self, text: str, message: str | None = None, name: str | None = None) -> None:
        """Emits a piece of the model's thinking."""
        self._put(self._text_events(Reasoning, text, message, name))

    def tool_call(self, id: str, name: str, arguments: object, message: str | None = None) -> None:
        """A call that the model asks for; message: the id of the message it belongs to, where that was told."""
        self.emit([self._tool_call(id, name, arguments, message)])

    def tool_result(self, id: str, output: object) -> None:
        """Emits the result of a tool, after which the model goes on."""
        self._tool_called = False
        self._think_tags = self._think_tags or ThinkTags()  # the model begins anew
        self.emit([ToolResult(id, json_value(output))])

    def chunks(self, chunks: Sequence[Chunk], *, thinking: bool = True) -> None:
        """Emits chunks that the reader of Ollama handed over together, with or without the thinking; the hot path."""
        events: list[Event] = []
        size = tokens = 0
        for chunk in chunks:
            message = chunk.message
            if message is None:
                continue
            text = message.content
            if thinking and message.thinking:
                events += self._text_events(Reasoning, message.thinking)
            if text:
                if text.isascii() and len(text) <= MAX_TEXT and not self._texts.held:
                    events.append(Token(text))
                    size += len(text)
                    tokens += 1
                else:
                    events += self._text_events(Token, text)
            if message.tool_calls:
                calls = [self._ollama_call(call) for call in message.tool_calls]
                self.count(sum(map(size_of, calls)))
                events += calls
        if size:
            if self._first_token_at is None:
                self._first_token_at = time.monotonic()
            self._tokens += tokens
            self.count(size)
        self._put(events)

    def check(self) -> None:
        """Raises `LimitExceeded` once the answer is too large."""
        if self.over is not None:
            raise self.over

    def finish_ollama(self, last: LastChunk, usage: Usage | None = None) -> None:
        """Emits the end, as Ollama's last line tells it; usage: of all models, where others answered before."""
        usage = usage or Usage(last.prompt_eval_count, last.eval_count)
        speed = last.eval_count / last.eval_duration * 1e9 if last.eval_count and last.eval_duration else None
        load_s = round(last.load_duration / 1e9, 6) if last.load_duration else None
        self.finish(last.done_reason or "", usage, load_s=load_s, tokens_per_s=speed)

    def finish(
        self,
        reason: str,
        usage: Usage,
        *,
        load_s: float | None = None,
        tokens_per_s: float | None = None,
        calls_left: bool | None = None,
    ) -> None:
        """Emits the end of a complete answer; calls_left: True if the client is to make a call, None if unknown."""
        kind = _REASONS.get(reason, "other")
        if self._demanded is not None:
            self.tool_call(f"call_{secrets.token_hex(8)}", *self._demanded.call(kind))
            calls_left = None
        if calls_left is None:
            calls_left = self._tool_called or kind == "tool_calls"
        if kind in ("stop", "tool_calls"):
            kind = "tool_calls" if calls_left else "stop"
        self.end(Finished(kind, usage, self._timings(load_s, tokens_per_s), self._prompt_truncated))

    def interrupt(self, interrupts: Sequence[Interrupt], usage: Usage) -> None:
        """Emits the end of a run that waits for a person."""
        asked = [Interrupt(id=each["id"], value=json_value(each["value"])) for each in interrupts]
        self.end(Interrupted(asked, usage, self._timings(None, None)))

    def fail(self, error: LlmstreamError) -> None:
        """Emits the end of an answer that is not complete."""
        self.error = error
        self.end(failed(error))

    def end(self, event: Terminal) -> None:
        """Emits the terminal event; only the first one counts."""
        if not self.ended:
            events: list[Event] = [*self._texts.release()] if self._demanded is None else []
            if self._think_tags is not None:
                events = [*self._think_tags.put(events), *self._think_tags.end(event)]
            events.append(event)
            self.ended = True
            self._sink(events)

    def _timings(self, load_s: float | None, tokens_per_s: float | None) -> Timings:
        total_s = time.monotonic() - self._begun
        first_s = self._first_token_at - self._begun if self._first_token_at else None
        if tokens_per_s is None and first_s is not None and total_s > first_s:
            tokens_per_s = self._tokens / (total_s - first_s)
        return Timings(
            time_to_first_token_s=None if first_s is None else round(first_s, 6),
            total_s=round(total_s, 6),
            load_s=load_s,
            tokens_per_s=None if tokens_per_s is None else round(tokens_per_s, 2),
        )

    def _count(self, size: int) -> None:
        if self._first_token_at is None:
            self._first_token_at = time.monotonic()
        self.count(size)

    def _text_events(
        self, kind: type[Token] | type[Reasoning], text: str, message: str | None = None, name: str | None = None
    ) -> list[Event]:
        """Events for a text of any length that may hold halves of surrogate pairs."""
        pieces = self._texts.cut(kind, text, message, name)
        if pieces:
            self._count(sum(len(piece.text.encode()) for piece in pieces))
            self._tokens += len(pieces)
        return [*pieces]

    def _tool_call(self, id: str, name: str, arguments: object, message: str | None = None) -> ToolCall:
        self._tool_called = True
        value = json_value(arguments)
        return ToolCall(id, name, value if isinstance(value, dict) else {"value": value}, message)

    def _ollama_call(self, call: dict[str, object]) -> ToolCall:
        function = call.get("function")
        fields = function if isinstance(function, dict) else {}
        arguments = fields.get("arguments")
        if isinstance(arguments, str):  # as OpenAI's servers write them, and some that imitate Ollama
            with suppress(ValueError, RecursionError):
                arguments = json.loads(arguments) if arguments.strip() else None
        return self._tool_call(str(call.get("id") or ""), str(fields.get("name", "")), arguments or {})
