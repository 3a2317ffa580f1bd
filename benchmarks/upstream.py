"""An Ollama that costs next to nothing: what it sends at full speed is made before anybody asks.

The question says what the answer is: `tokens=N`, at full speed; with `rate=R`, R tokens a second, each of them `T`, the
time in ns (CLOCK_MONOTONIC) at which it was sent, and a blank. As Ollama does, every line is an HTTP chunk of its own.
`GET /stats` counts the questions and tells when the connections of unfinished answers were closed.

Run as `python -m benchmarks.upstream PORT`.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from functools import lru_cache
from typing import Any

import uvloop

from benchmarks.processes import MODEL

_ASKED = re.compile(rb"tokens=(\d+)(?: rate=([\d.]+))?")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
_WORDS = (" the", " sky", " is", " blue", " because", " light", " of", " short", " waves", " scatters", " most", ".\n")
_BLOCK = 64 * 2**10

_MODEL = {"name": MODEL, "model": MODEL, "size": 1, "digest": "0", "modified_at": "2025-01-01T00:00:00Z", "details": {}}
_COMPLETIONS = "/v1/chat/completions"
_PLAIN: dict[str, dict[str, Any]] = {
    "/v1/models": {"data": [{"id": MODEL, "owned_by": "vllm", "max_model_len": 4096}]},
    "/api/version": {"version": "0.12.0"},
    "/api/tags": {"models": [_MODEL]},
    "/api/ps": {"models": [{**_MODEL, "expires_at": "2035-01-01T00:00:00Z", "size_vram": 1}]},
    "/api/show": {
        "capabilities": ["completion"],
        "details": {},
        "model_info": {},
        "modified_at": _MODEL["modified_at"],
    },
}

stats: dict[str, Any] = {"chats": 0, "open": 0, "cut_at": []}


def _chunk(text: str, path: str, **fields: Any) -> bytes:
    said = {"response": text} if path == "/api/generate" else {"message": {"role": "assistant", "content": text}}
    if path == _COMPLETIONS:
        return _event(text, **fields)
    line = {"model": MODEL, "created_at": "2025-01-01T00:00:00.123456Z", **said, "done": False, **fields}
    data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(text: str, *, done_reason: str | None = None, **ollama: Any) -> bytes:
    """The same as vLLM sends it; the end has its reason, the usage and `[DONE]`."""
    about = {
        "id": "chatcmpl-0123456789",
        "object": "chat.completion.chunk",
        "created": 1735689600,
        "model": MODEL,
    }
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": done_reason}
    events = [json.dumps({**about, "choices": [choice]}, separators=(",", ":"))]
    if done_reason is not None:
        usage = {"prompt_tokens": 9, "completion_tokens": ollama["eval_count"]}
        events += [json.dumps({**about, "choices": [], "usage": usage}, separators=(",", ":")), "[DONE]"]
    data = "".join(f"data: {each}\n\n" for each in events).encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


@lru_cache
def _whole(tokens: int, path: str) -> tuple[bytes, ...]:
    """An answer in blocks of about 64 KiB."""
    words = [_chunk(word, path) for word in _WORDS]
    body = b"".join(words[number % len(words)] for number in range(tokens)) + _end(tokens, path)
    return tuple(body[start : start + _BLOCK] for start in range(0, len(body), _BLOCK))


def _end(tokens: int, path: str) -> bytes:
    counts = {"prompt_eval_count": 9, "eval_count": tokens, "eval_duration": 10**9, "total_duration": 10**9}
    return _chunk("", path, done=True, done_reason="stop", **counts) + b"0\r\n\r\n"


# A stamp has always as many digits, so that its chunk has always the same length.
_STAMP_DIGITS = 16


@lru_cache
def _around_stamp(path: str) -> tuple[bytes, bytes]:
    head, tail = _chunk("#", path).split(b"#")
    size = b"%x" % (int(head.split(b"\r\n")[0], 16) - 1 + _STAMP_DIGITS + 2)
    return size + head[head.index(b"\r\n") :], tail


def _stamped(path: str) -> bytes:
    head, tail = _around_stamp(path)
    return b"%bT%0*d %b" % (head, _STAMP_DIGITS, time.monotonic_ns(), tail)


class Upstream(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._blocks: list[bytes] = []
        self._left = self._sent = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        transport.set_write_buffer_limits(4 * _BLOCK)  # type: ignore[attr-defined]

    def connection_lost(self, error: Exception | None) -> None:
        if self._blocks or self._left:
            stats["open"] -= 1
            stats["cut_at"].append(time.monotonic())
        if self._timer is not None:
            self._timer.cancel()
        self._blocks, self._left = [], 0

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._write_blocks()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if not found or len(rest) < size:
            return
        self._received = rest[size:]
        path = head.split(b" ", 2)[1].decode()
        if path in ("/api/chat", "/api/generate", _COMPLETIONS):
            self._path = path
            self._answer(rest[:size])
        else:
            body = json.dumps(stats if path == "/stats" else _PLAIN[path]).encode()
            answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            self._transport.write(answer % (len(body), body))

    def _answer(self, body: bytes) -> None:
        asked = _ASKED.search(body)
        tokens, rate = (int(asked[1]), float(asked[2] or 0)) if asked else (100, 0.0)
        stats["chats"] += 1
        stats["open"] += 1
        self._transport.write(_STREAM)
        if rate:
            self._left = self._tokens = tokens
            self._pace_s, self._due = 1 / rate, self._loop.time()
            self._tick()
        else:
            self._blocks = list(reversed(_whole(tokens, self._path)))
            self._write_blocks()

    def _write_blocks(self) -> None:
        while self._blocks and self._writable:
            self._transport.write(self._blocks.pop())
            if not self._blocks:
                stats["open"] -= 1

    def _tick(self) -> None:
        self._transport.write(_stamped(self._path))
        self._left -= 1
        self._due += self._pace_s
        if self._left:
            self._timer = self._loop.call_at(self._due, self._tick)
        else:
            stats["open"] -= 1
            self._transport.write(_end(self._tokens, self._path))


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
