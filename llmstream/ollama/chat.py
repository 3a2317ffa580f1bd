"""The strict reader of an answer of Ollama's: a request out, typed chunks in, every fault an error.

What the usual stack takes for a complete answer (no `done: true`, no `done_reason`) is `UpstreamTruncated` here; a line
that is no JSON is `UpstreamProtocol`; silence is `UpstreamTimeout` or `UpstreamStalled`. All lines that came in one
read are handed over together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from llmstream.errors import UpstreamError
from llmstream.events import json_value
from llmstream.ollama.endpoint import Endpoint, unreachable
from llmstream.ollama.pool import request
from llmstream.ollama.response import ChatResponse, Receive
from llmstream.ollama.server_kinds import Disconnected
from llmstream.ollama.waiting import Waiting

# How long to wait, after `done: true`, for the end of the body that lets the connection be used again.
_DRAIN_S = 0.1


async def read_chat(
    endpoint: Endpoint, body: Mapping[str, Any], receive: Receive, waiting: Waiting | None = None
) -> None:
    """Sends one request to `/api/chat`, or to `/api/generate` where the body has a prompt.

    `receive` gets its chunks, in lists of those that came together; waiting: as `ChatResponse` takes it.

    Returns after the one that ends with a `LastChunk`. Cancelling closes the connection, which makes Ollama stop.
    Raises the `UpstreamError` subclasses, `ModelNotFound`, `PromptTooLong`, and whatever `receive` raises; what came
    before the fault was handed over before.
    """
    path = "/api/generate" if "prompt" in body else "/api/chat"
    await read_response(endpoint, path, body, ChatResponse(endpoint, body, receive, waiting))


async def read_response(endpoint: Endpoint, path: str, body: Mapping[str, Any], response: ChatResponse) -> None:
    """Sends one request, and returns when its response has handed over the last chunk; see `read_chat`."""
    try:
        async with request(endpoint, "POST", path, response, body=_encode(body)) as transport:
            response.transport = transport
            await response.last
            if not response.eof.done():
                with suppress(TimeoutError):  # a server that holds the body open loses the connection
                    await asyncio.wait_for(response.eof, _DRAIN_S)
    finally:
        response.leave()


async def fetch(
    endpoint: Endpoint, path: str, asked: Mapping[str, Any] | None = None, *, timeout_s: float | None = None
) -> tuple[int, bytes]:
    """The status and body at a path of the server; raises `UpstreamUnreachable` and other `UpstreamError`s.

    asked: what is posted there, None for a GET. timeout_s: how long the server may take where another silence is meant
    than that of one that is away.
    """
    try:
        async with asyncio.timeout(timeout_s or endpoint.connect_timeout_s):
            try:
                return await _fetched(endpoint, path, asked)
            except Disconnected:  # a kept connection that was just being closed
                return await _fetched(endpoint, path, asked)
    except TimeoutError:
        if timeout_s is None:
            raise unreachable(endpoint) from None
        raise endpoint.server.late(endpoint.shown_url, timeout_s) from None


async def _fetched(endpoint: Endpoint, path: str, asked: Mapping[str, Any] | None) -> tuple[int, bytes]:
    whole = _Whole()
    method, sent = ("GET", b"") if asked is None else ("POST", _encode(asked))
    async with request(endpoint, method, path, whole, body=sent):
        body = await whole.body
    if 300 <= whole.status < 400:
        raise endpoint.server.redirected(endpoint.shown_url, whole.status)
    return whole.status, body


class _Whole:
    """A `Receiver` that gathers a response, and has its body when that is complete."""

    def __init__(self) -> None:
        self.body: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.status = 0
        self._pieces: list[bytes] = []

    def head(self, status: int) -> None:
        """Notes the status."""
        self.status = status

    def feed(self, data: bytes) -> None:
        """Adds a piece of the body."""
        self._pieces.append(data)

    def end(self, error: UpstreamError | None) -> None:
        """Completes the body, or fails it."""
        if self.body.done():
            return
        if error is None:
            self.body.set_result(b"".join(self._pieces))
        else:
            self.body.set_exception(error)


def _encode(body: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except (UnicodeEncodeError, TypeError):  # a lone surrogate, or a value of a chain's own type
        return msgspec.json.encode(json_value(body))
