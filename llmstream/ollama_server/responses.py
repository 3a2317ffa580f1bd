"""The three kinds of answers: one JSON body, lines as they come, and lines gathered into one body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llmstream.ollama_server.backend import OllamaError
from llmstream.ollama_server.lines import go_json

Lines = AsyncGenerator[dict[str, Any], None]


def json_response(value: Any, *, status: int = 200) -> Response:
    """One JSON body with its length, encoded as Go does."""
    return Response(go_json(value), status_code=status, media_type="application/json; charset=utf-8")


def refused(error: OllamaError) -> Response:
    """An error before the first chunk."""
    return json_response({"error": error.text}, status=error.status)


async def disconnected(receive: Receive) -> None:
    """Returns when the client has left. The body of the request must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def until_disconnected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Runs the work, and cancels it at once when the client leaves.

    Starlette's StreamingResponse notices a client that left only at the next send, and a stalled answer never sends.
    """
    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(disconnected(receive))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    if isinstance(results[0], Exception):
        raise results[0]


class LinesResponse(Response):
    """Sends each line as soon as it is there, as `application/x-ndjson`."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        await until_disconnected(receive, self._send(scope, receive, send))

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False
        try:
            async with aclosing(self._lines) as lines:
                async for line in lines:
                    if not started:
                        await _start(send, 200, b"application/x-ndjson")
                        started = True
                    await _body(send, line if isinstance(line, bytes) else go_json(line) + b"\n")
        except OllamaError as error:
            failure = go_json({"error": error.text})
            if started:
                await _body(send, failure + b"\n")
            else:
                await _start(send, error.status, b"application/json")
                await _body(send, failure)
        await send({"type": "http.response.body", "body": b""})


class WholeResponse(LinesResponse):
    """Gathers all lines and sends one body, for `stream: false`.

    lines: the lines of the answer. merge: makes the one body of them.
    """

    def __init__(self, lines: Lines, *, merge: Callable[[list[dict[str, Any]]], dict[str, Any]]) -> None:
        super().__init__(lines)
        self._merge = merge

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with aclosing(self._lines) as lines:
                response = json_response(self._merge([line async for line in lines]))
        except OllamaError as error:
            response = refused(error)
        await response(scope, receive, send)


async def _start(send: Send, status: int, content_type: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", content_type)]})


async def _body(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})
