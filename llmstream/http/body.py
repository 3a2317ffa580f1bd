"""The body of a request, limited in size before it is parsed."""

from __future__ import annotations

import re

from starlette.types import Message, Receive, Scope

from llmstream.errors import BodyTooLarge
from llmstream.http.headers import Fields

_LENGTH = re.compile(r"[0-9]{1,18}")


async def limit_body(scope: Scope, headers: Fields, receive: Receive, limit: int) -> Receive:
    """`receive` for a body of at most `limit` bytes; raises `BodyTooLarge` before anything is parsed."""
    if scope["type"] != "http":
        return receive
    length = headers.get("content-length")
    if length is not None and (not _LENGTH.fullmatch(length) or int(length) > limit):
        raise _too_large(limit)
    # HTTP/1 ends a body by its length, to which the server holds it, or by its chunks; HTTP/2 needs neither.
    if scope.get("http_version", "1.1").startswith("1.") and "transfer-encoding" not in headers:
        return receive
    return _replay(await _read_all(receive, limit), receive)


async def _read_all(receive: Receive, limit: int) -> list[Message]:
    messages: list[Message] = []
    size = 0
    while not messages or messages[-1].get("more_body"):
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise _too_large(limit)
        messages.append(message)
    return messages


def _replay(messages: list[Message], receive: Receive) -> Receive:
    async def replayed() -> Message:
        return messages.pop(0) if messages else await receive()

    return replayed


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request is larger than {limit} bytes. Shorten it, or raise LLMSTREAM_MAX_BODY_BYTES.")
