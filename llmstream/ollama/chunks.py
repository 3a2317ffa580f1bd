"""Lines of Ollama's streams → typed chunks; pure, no I/O. Every departure from the protocol is an error.

The lines of `/api/generate` hold their text in `response`, beside `thinking`: they become chunks too.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import msgspec

from llmstream.errors import UpstreamError, UpstreamTruncated
from llmstream.ollama.server_kinds import OLLAMA, safe_text

# Texts of Ollama that name no path and no prompt, so a person may see them. Others are replaced.
_SAFE_TEXTS = (
    "The script of",  # of the demo, in a test
    "an error was encountered while running the model",
    "does not support",
    "invalid model name",
    "model is required",
    "must be of type",
    "model requires more system memory",
    "invalid message format",
    "server busy",
    "unexpected EOF",
)


class ChunkMessage(msgspec.Struct, gc=False):
    """A piece of the assistant's message; servers that imitate Ollama send null for nothing."""

    content: str | None = ""
    thinking: str | None = ""
    tool_calls: list[dict[str, Any]] | None = None


class Chunk(msgspec.Struct, gc=False):
    """One line of the stream; servers that imitate Ollama may give a `done_reason` without `done`.

    prompt_eval_completed, prompt_eval_total: on a line before the answer, how much of the prompt has been read.
    """

    message: ChunkMessage | None = None
    done: bool | None = None
    done_reason: str | None = None
    error: Any = None
    logprobs: list[Any] | None = None
    prompt_eval_completed: int | None = None  # https://github.com/ollama/ollama/pull/13901
    prompt_eval_total: int | None = None


class LastChunk(Chunk, gc=False, omit_defaults=True):
    """The last line: counts, and durations in nanoseconds, which need not be whole numbers."""

    model: str = ""
    created_at: str = ""
    total_duration: int | float = 0
    load_duration: int | float = 0
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | float = 0
    eval_count: int | None = None
    eval_duration: int | float = 0


_COUNTS = ("prompt_eval_count", "eval_count")
_DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
# Nanoseconds that nobody has waited for; no NaN is smaller.
_MOST = 10**18


class _Generated(Chunk, gc=False):
    """One line of `/api/generate`, whose text is not in a message."""

    response: str | None = None
    thinking: str | None = ""

    def with_message(self) -> Chunk:
        """The line with its text in a message, where it has any."""
        if self.response is not None:
            self.message = ChunkMessage(self.response, self.thinking)
        return self


def decode(lines: bytes) -> tuple[list[Chunk], UpstreamError | None]:
    """The chunks of complete lines, up to the one with `done: true` or the first fault, and that fault."""
    try:
        chunks = _decode_lines(lines) if b"\n" in lines else [_decode_chunk(lines)]
        if chunks[0].message is None:
            chunks = [line.with_message() for line in _decode_generated(lines)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, IndexError):
        return _decode_one_by_one(lines)
    if len(chunks) != lines.count(b"\n") + 1:  # the decoder passes over empty lines
        return _decode_one_by_one(lines)
    for chunk in chunks:
        if chunk.message is None or chunk.done or chunk.done_reason or chunk.error is not None:
            return _decode_one_by_one(lines)
    return chunks, None


_decode_chunk = msgspec.json.Decoder(Chunk).decode
_decode_lines = msgspec.json.Decoder(Chunk).decode_lines
_decode_generated = msgspec.json.Decoder(_Generated).decode_lines


def joined(chunks: Sequence[Chunk]) -> list[Chunk]:
    """The chunks, where neighbours of text alone, or of thinking alone, are joined to one; others stay as they are."""
    found: list[Chunk] = []
    for is_text, group in itertools.groupby(chunks, _is_text):
        run = list(group)
        if is_text is None or len(run) == 1:
            found += run
            continue
        messages = [chunk.message for chunk in run if chunk.message is not None]
        text = "".join((each.content if is_text else each.thinking) or "" for each in messages)
        found.append(Chunk(ChunkMessage(text) if is_text else ChunkMessage(thinking=text)))
    return found


def _is_text(chunk: Chunk) -> bool | None:
    """True for a chunk that is text and nothing else, False for one that is thinking, None for any other."""
    message = chunk.message
    if message is None or chunk.done or chunk.logprobs is not None or message.tool_calls:
        return None
    if message.thinking:
        return None if message.content else False
    return True


def _decode_one_by_one(lines: bytes) -> tuple[list[Chunk], UpstreamError | None]:
    chunks: list[Chunk] = []
    for line in lines.split(b"\n"):
        try:
            chunk = _decode_line(line)
        except (ValueError, RecursionError):  # msgspec's and json's errors are ValueErrors
            return chunks, OLLAMA.protocol("a line that is not one of its messages")
        if chunk.error is not None:
            return chunks, UpstreamError(f"Ollama broke off the answer: {error_text(chunk.error)}")
        if chunk.done and not chunk.done_reason:
            return chunks, UpstreamTruncated("The answer broke off: Ollama gave no reason for its end.")
        chunks.append(chunk)
        if chunk.done:
            break
    return chunks, None


def _decode_line(line: bytes) -> Chunk:
    try:
        chunk = msgspec.json.decode(line, type=Chunk)
        if _is_last(chunk):
            return _last(msgspec.json.decode(line))
        if chunk.message is None:
            chunk = msgspec.json.decode(line, type=_Generated).with_message()
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Invalid UTF-8 becomes U+FFFD; a lone surrogate may find its other half in the next chunk.
        fields = json.loads(line.decode("utf-8", "replace"))
        chunk = msgspec.convert(fields, Chunk)
        if _is_last(chunk):
            return _last(fields)
        if chunk.message is None:
            chunk = msgspec.convert(fields, _Generated).with_message()
    if chunk.message is None and chunk.error is None:
        raise ValueError("a line without a message")
    return chunk


def _is_last(chunk: Chunk) -> bool:
    return bool(chunk.done or (chunk.done is None and chunk.done_reason))


def _last(fields: dict[str, Any]) -> LastChunk:
    """The last line, with `done` set, and without what it tells beside the answer in another form than Ollama's."""
    answer = {name: fields.get(name) for name in Chunk.__struct_fields__}
    chunk = msgspec.convert({**answer, **_statistics(fields), "done": True}, LastChunk)
    if chunk.message is None:
        chunk.message = msgspec.convert(fields, _Generated).with_message().message
    return chunk


def _statistics(fields: dict[str, Any]) -> dict[str, Any]:
    numbers = {
        name: int(value) if name in _COUNTS else value
        for name in (*_COUNTS, *_DURATIONS)
        if isinstance(value := fields.get(name), int | float) and 0 <= value < _MOST
    }
    texts = {name: value for name in ("model", "created_at") if isinstance(value := fields.get(name), str)}
    return {**numbers, **texts}


def error_text(error: object) -> str:
    """The text of Ollama's error where it is known to hold no path and no prompt, else one that names the log."""
    return safe_text(error, _SAFE_TEXTS) or "it reported an error. Its log says more (`ollama serve` prints it)."
