"""What the tests of the reader share: a request, an answer sent in pieces, and what the reader makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from llmstream.errors import LlmstreamError
from llmstream.ollama.chat import read_chat
from llmstream.ollama.chunks import Chunk
from llmstream.ollama.endpoint import Endpoint
from tests.support.answering import Script

BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


async def read(url: str, *, body: dict[str, Any] = BODY, **limits: Any) -> tuple[list[Chunk], LlmstreamError | None]:
    """All chunks of an answer, and the error it ended with."""
    found: list[Chunk] = []
    try:
        await read_chat(Endpoint(url=url, **limits), body, found.extend)
    except LlmstreamError as error:
        return found, error
    return found, None


def sending(*pieces: bytes, then: Callable[[asyncio.StreamWriter], None] | None = None) -> Script:
    """A script that writes these pieces, each in a segment of its own, and then does something or nothing."""

    async def script(body: bytes, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            if len(pieces) > 1:
                await asyncio.sleep(0)
        if then is not None:
            then(writer)

    return script


def response(body: bytes, *, status: str = "200 OK", kind: str = "application/x-ndjson") -> bytes:
    """An HTTP answer with its length."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
