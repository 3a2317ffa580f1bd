"""Server-sent events of OpenAI's chat completions → typed chunks; pure, no I/O. Every departure is an error.

The end is a `finish_reason`, and after it `[DONE]` or the end of the body: usage may come in between.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from llmstream.errors import UpstreamError, UpstreamTruncated
from llmstream.ollama.chunks import Chunk, ChunkMessage, LastChunk
from llmstream.ollama.server_kinds import OPENAI
from llmstream.openai.calls import CallDeltas
from llmstream.openai.errors import error_of

_FIELDS = (b"event", b"id", b"retry")  # of server-sent events, beside data


class _Delta(msgspec.Struct, gc=False):
    """A piece of the message; its thinking is `reasoning_content` or `reasoning`, as the server has it."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None

    @property
    def message(self) -> ChunkMessage:
        """The piece as Ollama would write it; a refusal is an answer too."""
        return ChunkMessage(self.content or self.refusal or "", self.reasoning_content or self.reasoning or "")


class _Choice(msgspec.Struct, gc=False):
    """One of the answers, of which the first counts; `message` in place of `delta` where it came as a whole."""

    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None  # some servers say "" until the end
    index: int | None = 0
    logprobs: dict[str, Any] | None = None


class _Progress(msgspec.Struct, gc=False):
    """The tokens of a prompt that llama.cpp's server has read so far, those among them that it had kept, and all."""

    processed: int = 0
    cache: int = 0
    total: int = 0


class _Event(msgspec.Struct, gc=False):
    """One event's data: pieces of answers, and what the server tells beside them."""

    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None
    prompt_progress: _Progress | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    timings: dict[str, Any] | None = None


class _Text(ChunkMessage, gc=False):
    """A piece of text or thinking and nothing else."""

    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: None = None
    tool_calls: None = None


class _TextChoice(msgspec.Struct, gc=False):
    delta: _Text
    finish_reason: None = None
    index: Literal[0] = 0
    logprobs: None = None


class _TextEvent(msgspec.Struct, gc=False):
    """The usual event; the decoder itself refuses any other."""

    choices: tuple[_TextChoice]
    usage: None = None
    error: None = None
    prompt_progress: None = None


class LastEvent(LastChunk, gc=False, omit_defaults=True):
    """The end of an answer, with what OpenAI's servers tell of it; `usage` as it came."""

    usage: dict[str, Any] | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None


_decode_text = msgspec.json.Decoder(_TextEvent).decode
_decode_event = msgspec.json.Decoder(_Event).decode


class Events:
    """The events of one answer."""

    def __init__(self) -> None:
        self._begun = False
        self._reason: str | None = None
        self._calls = CallDeltas()
        self._last = LastEvent(ChunkMessage(), done=True)

    def decode(self, lines: bytes) -> tuple[list[Chunk], UpstreamError | None]:
        """The chunks of complete lines, up to the last chunk or the first fault, and that fault."""
        if self._reason is None and not self._calls:
            chunks = _texts(lines)
            if chunks is not None:
                self._begun = True
                return chunks, None
        chunks = []
        for line in lines.split(b"\n"):
            error = self._line(line.rstrip(b"\r"), chunks)
            if error is not None or (chunks and chunks[-1].done):
                return chunks, error
        return chunks, None

    def end(self) -> tuple[list[Chunk], UpstreamError | None]:
        """The last chunk at `[DONE]` or the end of the body, or the fault that this is no end."""
        if self._reason is None:
            return [], OPENAI.truncated() if self._begun else OPENAI.empty()
        last = self._last
        last.done_reason = self._reason
        usage = last.usage or {}
        last.prompt_eval_count, last.eval_count = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        return [last], None

    def _line(self, line: bytes, chunks: list[Chunk]) -> UpstreamError | None:
        field, colon, value = line.partition(b":")
        if field in _FIELDS or not line or not field:  # a comment has no field
            return None
        if field != b"data" or not colon:
            return OPENAI.protocol("a line that is no server-sent event")
        self._begun, value = True, value.strip()
        if value == b"[DONE]":
            found, error = self.end()
            chunks += found
            return error
        try:
            event = _decode(value)
        except (ValueError, RecursionError):  # msgspec's and json's errors are ValueErrors
            return OPENAI.protocol("an event that is not one of its chunks")
        return self._event(event, chunks)

    def _event(self, event: _Event, chunks: list[Chunk]) -> UpstreamError | None:
        if event.error is not None:
            return error_of(event.error)
        if event.choices is None and event.usage is None:
            return OPENAI.protocol("an event without a choice")
        self._learn(event)
        if (read := event.prompt_progress) is not None:
            done, total = max(read.processed - read.cache, 0), read.total - read.cache
            chunks.append(Chunk(ChunkMessage(), prompt_eval_completed=done, prompt_eval_total=total))
        for choice in event.choices or ():
            if choice.index or self._reason is not None:  # another answer, or after the end
                continue
            if error := self._choice(choice, chunks):
                return error
        return None

    def _choice(self, choice: _Choice, chunks: list[Chunk]) -> UpstreamError | None:
        delta = choice.delta or choice.message
        if delta is None and choice.finish_reason is None:
            return OPENAI.protocol("a choice without a piece of a message")
        if delta is not None:
            message, logprobs = delta.message, (choice.logprobs or {}).get("content")
            if message.content or message.thinking or logprobs:
                chunks.append(Chunk(message, logprobs=logprobs))
            self._calls.add(delta.tool_calls or ())
        if choice.finish_reason == "abort":
            return UpstreamTruncated("The answer broke off: the model server gave it up.")
        if choice.finish_reason == "error":
            return error_of(None)
        if choice.finish_reason:
            self._reason = choice.finish_reason
            if calls := self._calls.whole(cut=self._reason == "length"):
                chunks.append(Chunk(ChunkMessage(tool_calls=calls)))
        return None

    def _learn(self, event: _Event) -> None:
        last, timings = self._last, event.timings or {}
        last.usage = event.usage or last.usage
        last.model = event.model or last.model
        last.system_fingerprint = event.system_fingerprint or last.system_fingerprint
        last.service_tier = event.service_tier or last.service_tier
        if isinstance(ms := timings.get("predicted_ms"), int | float):  # of llama.cpp's server
            last.eval_duration = ms * 1e6
        if isinstance(ms := timings.get("prompt_ms"), int | float):
            last.prompt_eval_duration = ms * 1e6


def _texts(lines: bytes) -> list[Chunk] | None:
    """The chunks of lines that are pieces of text or thinking and nothing else, the usual case; None for any other."""
    lines = lines.replace(b"\r\n", b"\n") if b"\r" in lines else lines
    lines = lines.strip(b"\r\n")
    if not lines.startswith(b"data: {"):
        return None
    found = lines[6:].split(b"\n\ndata: ")
    if b"\n" in b"".join(found):  # something else between two events, or within one
        return None
    try:
        events = [_decode_text(each) for each in found]
    except (ValueError, RecursionError):
        return None
    chunks: list[Chunk] = []
    for event in events:
        delta = event.choices[0].delta
        if thinking := delta.reasoning_content or delta.reasoning:
            delta.thinking = thinking
        elif not delta.content:
            continue
        chunks.append(Chunk(delta))
    return chunks


def _decode(data: bytes) -> _Event:
    try:
        return _decode_event(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Invalid UTF-8 becomes U+FFFD; a lone surrogate may find its other half in the next chunk.
        return msgspec.convert(json.loads(data.decode("utf-8", "replace")), _Event)


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    return value if isinstance(value := usage.get(name), int) else None
