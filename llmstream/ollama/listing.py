"""Lists of models that Ollama tells, read in the event loop: asked often, and maybe of a host that never answers."""

from __future__ import annotations

from datetime import datetime

import msgspec

from llmstream.errors import UpstreamError
from llmstream.ollama.api import TIMEOUT_S
from llmstream.ollama.chat import fetch
from llmstream.ollama.endpoint import Endpoint, not_ollama

# What a server says that knows no such path, or takes only others' methods there.
_UNKNOWN = (404, 405, 501)


class Listed(msgspec.Struct):
    """A model in a list; `expires_at` of one in memory."""

    model: str | None = None
    size: int | None = None
    modified_at: datetime | None = None
    expires_at: datetime | None = None


class _List(msgspec.Struct):
    models: list[Listed] | None = None


_decode = msgspec.json.Decoder(_List).decode


async def listed(endpoint: Endpoint, path: str) -> list[Listed]:
    """The models of `/api/tags`, or those in memory of `/api/ps`; raises `UpstreamError`s."""
    status, body = await fetch(endpoint, path, timeout_s=TIMEOUT_S)
    if status in _UNKNOWN:
        raise not_ollama(endpoint)
    if status != 200:
        raise UpstreamError(f"Ollama answered with status {status}. Its log says more.")
    try:
        return [each for each in _decode(body).models or () if each.model]
    except ValueError as error:  # as msgspec's are
        raise not_ollama(endpoint) from error
