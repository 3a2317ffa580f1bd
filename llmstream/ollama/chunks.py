"""Lines of Ollama's chat stream → typed chunks; pure, no I/O. Every departure from the protocol is an error."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from llmstream.errors import UpstreamError, UpstreamProtocol, UpstreamTruncated

# Texts of Ollama that name no path and no prompt, so a person may see them. Others are replaced.
_SAFE_TEXTS = (
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


class Message(msgspec.Struct, gc=False):
    """A piece of the assistant's message; servers that imitate Ollama send null for nothing."""

    content: str | None = ""
    thinking: str | None = ""
    tool_calls: list[dict[str, Any]] | None = None


class Chunk(msgspec.Struct, gc=False):
    """One line of the stream; servers that imitate Ollama may give a `done_reason` without `done`."""

    message: Message | None = None
    done: bool | None = None
    done_reason: str | None = None
    error: Any = None
    logprobs: list[Any] | None = None


class LastChunk(Chunk, gc=False, omit_defaults=True):
    """The last line: counts, and durations in nanoseconds, which need not be whole numbers."""

    model: str | None = ""
    created_at: str | int | float | None = ""
    total_duration: int | float | None = 0
    load_duration: int | float | None = 0
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | float | None = 0
    eval_count: int | None = None
    eval_duration: int | float | None = 0


def decode(lines: bytes) -> tuple[list[Chunk], UpstreamError | None]:
    """The chunks of complete lines, up to the one with `done: true` or the first fault, and that fault."""
    try:
        chunks = _decode_lines(lines) if b"\n" in lines else [_decode_chunk(lines)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_one_by_one(lines)
    if len(chunks) != lines.count(b"\n") + 1:  # the decoder passes over empty lines
        return _decode_one_by_one(lines)
    for chunk in chunks:
        if chunk.message is None or chunk.done or chunk.done_reason or chunk.error is not None:
            return _decode_one_by_one(lines)
    return chunks, None


_decode_chunk = msgspec.json.Decoder(Chunk).decode
_decode_lines = msgspec.json.Decoder(Chunk).decode_lines


def _decode_one_by_one(lines: bytes) -> tuple[list[Chunk], UpstreamError | None]:
    chunks: list[Chunk] = []
    for line in lines.split(b"\n"):
        try:
            chunk = _decode_line(line)
        except (ValueError, RecursionError):  # msgspec's and json's errors are ValueErrors
            return chunks, not_ollama("a line that is not one of its messages")
        if chunk.error is not None:
            return chunks, _error_line(chunk.error)
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
            return _last(msgspec.json.decode(line, type=LastChunk))
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Invalid UTF-8 becomes U+FFFD; a lone surrogate may find its other half in the next chunk.
        fields = json.loads(line.decode("utf-8", "replace"))
        chunk = msgspec.convert(fields, Chunk)
        if _is_last(chunk):
            return _last(msgspec.convert(fields, LastChunk))
    if chunk.message is None and chunk.error is None:
        raise ValueError("a line without a message")
    return chunk


def _is_last(chunk: Chunk) -> bool:
    return bool(chunk.done or (chunk.done is None and chunk.done_reason))


def _last(chunk: LastChunk) -> LastChunk:
    """The last line, with `done` set."""
    chunk.done = True
    return chunk


def not_ollama(what: str) -> UpstreamProtocol:
    """The error for an answer that is no Ollama's; `what` came instead of its chat stream."""
    return UpstreamProtocol(
        f"Expected Ollama's chat stream, got {what}. "
        "Check that OLLAMA_HOST is an Ollama, not another server or a proxy's page."
    )


def _error_line(error: object) -> UpstreamError:
    return UpstreamError(f"Ollama broke off the answer: {error_text(error)}")


def error_text(error: object) -> str:
    """The text of Ollama's error where it is known to hold no path and no prompt, else one that names the log."""
    text = error if isinstance(error, str) else ""
    known = any(part in text for part in _SAFE_TEXTS) and "/" not in text and "\\" not in text
    return text[:200] if known else "it reported an error. Its log says more (`ollama serve` prints it)."
