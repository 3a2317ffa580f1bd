"""The JSON of Ollama's answers, byte for byte as Go's encoder writes it."""

from __future__ import annotations

import functools
import json
import random
import re
import string
import time
import zlib
from json.encoder import encode_basestring as escape
from typing import Any

from llmstream.events import well_formed
from llmstream.ollama_server.backend import AnswerChunk, ChatRequest, ToolCall

_GO_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
_ESCAPED = re.compile("[<>&\u2028\u2029]")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_CALL_ID_LETTERS = string.ascii_lowercase + string.digits
_VOCABULARY = 32_000


def go_json(value: Any) -> bytes:
    """Encodes like Go's `json.Marshal`: `<`, `>`, `&`, U+2028 and U+2029 escaped, other text as UTF-8.

    Lone surrogates become U+FFFD.
    """
    # The five characters can only stand inside strings, so the whole text may be translated at once.
    return _as_go(_encode(value))


def _as_go(text: str) -> bytes:
    if text.isascii() and not _ESCAPED.search(text):  # the usual
        return text.encode()
    return well_formed(text.translate(_GO_ESCAPES)).encode()


def rfc3339(time_ns: int) -> str:
    """Time since the epoch in ns, as Go's RFC3339Nano in UTC: trailing zeros of the fraction are left out."""
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    digits = f".{fraction:09d}".rstrip("0").rstrip(".")
    return f"{_to_the_second(seconds)}{digits}Z"


@functools.lru_cache(maxsize=1)
def _to_the_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def tool_call_json(call: ToolCall, index: int) -> dict[str, Any]:
    """A tool call as it stands in a line; `index` counts the calls of one answer from 0."""
    call_id = "call_" + "".join(random.choices(_CALL_ID_LETTERS, k=8))
    return {"id": call_id, "function": {"index": index, "name": call.name, "arguments": call.arguments}}


def token_ids(text: str) -> list[int]:
    """Made-up ids, one a word, for the `context` of `/api/generate`."""
    return [zlib.crc32(word.encode("utf-8", "replace")) % _VOCABULARY for word in text.split()]


class AnswerLines:
    """Builds the lines of one answer, in the key order of Ollama 0.24."""

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._calls = 0
        self._text: list[str] = []
        # Everything of a text's line that does not change: there is one for each token.
        self._before = f'{{"model":{escape(request.model)},"created_at":"'
        self._after = '","response":' if request.is_generate else '","message":{"role":"assistant","content":'
        self._end = ',"done":false}\n' if request.is_generate else '},"done":false}\n'
        self._started_ns = time.perf_counter_ns()
        self._first_ns: int | None = None

    def line(self, chunk: AnswerChunk) -> bytes:
        """The bytes of a line with `done: false`, a text's written by hand."""
        if chunk.thinking or chunk.tool_calls:
            return go_json(self.chunk(chunk)) + b"\n"
        self._note(chunk)
        created = rfc3339(time.time_ns())
        return _as_go(f"{self._before}{created}{self._after}{escape(chunk.content)}{self._end}")

    def _note(self, chunk: AnswerChunk) -> None:
        if self._first_ns is None:
            self._first_ns = time.perf_counter_ns()
        self._text.append(chunk.thinking + chunk.content)

    def chunk(self, chunk: AnswerChunk) -> dict[str, Any]:
        """A line with `done: false`."""
        self._note(chunk)
        head = self._head(chunk)
        return {**head, "done": False, **(self._calls_json(chunk) if self._request.is_generate else {})}

    def done(self, reason: str, *, prompt_tokens: int, answer_tokens: int) -> dict[str, Any]:
        """The last line: reason, durations in ns, counts. Zero values are left out, as Go's `omitempty` does."""
        now = time.perf_counter_ns()
        first = self._first_ns or now
        reading = first - self._started_ns
        metrics = {
            "total_duration": now - self._started_ns,
            "load_duration": reading // 2,
            "prompt_eval_count": prompt_tokens,
            "prompt_eval_duration": reading - reading // 2,
            "eval_count": answer_tokens,
            "eval_duration": now - first,
        }
        line = self.empty(reason)
        if self._request.is_generate and not self._request.body.get("raw"):
            line["context"] = token_ids(" ".join([self._request.question, *self._text]))
        return line | {name: value for name, value in metrics.items() if value}

    def empty(self, reason: str) -> dict[str, Any]:
        """The one body that answers a request to load or unload the model."""
        return {**self._head(AnswerChunk()), "done": True, "done_reason": reason}

    def _head(self, chunk: AnswerChunk) -> dict[str, Any]:
        head: dict[str, Any] = {"model": self._request.model, "created_at": rfc3339(time.time_ns())}
        thinking = {"thinking": chunk.thinking} if chunk.thinking else {}
        if self._request.is_generate:
            return {**head, "response": chunk.content, **thinking}
        message = {"role": "assistant", "content": chunk.content, **thinking, **self._calls_json(chunk)}
        return {**head, "message": message}

    def _calls_json(self, chunk: AnswerChunk) -> dict[str, Any]:
        calls = [tool_call_json(call, self._calls + n) for n, call in enumerate(chunk.tool_calls)]
        self._calls += len(calls)
        return {"tool_calls": calls} if calls else {}


def merged_lines(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The one body of `stream: false`: the last line with the text of all."""
    merged, parts = lines[-1], [line.get("message", line) for line in lines]
    target = merged.get("message", merged)
    text_key = "content" if "message" in merged else "response"
    target[text_key] = "".join(part[text_key] for part in parts)
    if thinking := "".join(part.get("thinking", "") for part in parts):
        target["thinking"] = thinking
    if calls := [call for part in parts for call in part.get("tool_calls", ())]:
        target["tool_calls"] = calls
    return merged if "message" in merged else _generate_order(merged)


def _generate_order(line: dict[str, Any]) -> dict[str, Any]:
    first = ("model", "created_at", "response", "thinking")
    return {key: line[key] for key in first if key in line} | line
