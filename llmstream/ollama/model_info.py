"""The facts of models that Ollama tells, asked in the event loop: often, and maybe of a host that never answers."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

import msgspec

from llmstream.errors import UpstreamError
from llmstream.ollama.chat import fetch
from llmstream.ollama.endpoint import Endpoint, not_ollama
from llmstream.ollama.response import model_not_found

_TIMEOUT_S = 10.0

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


class _Model(msgspec.Struct):
    capabilities: list[str] | None = None


T = TypeVar("T")


async def listed(endpoint: Endpoint, path: str) -> list[Listed]:
    """The models of `/api/tags`, or those in memory of `/api/ps`; raises `UpstreamError`s."""
    status, body = await fetch(endpoint, path, timeout_s=_TIMEOUT_S)
    if status in _UNKNOWN:
        raise not_ollama(endpoint)
    told = _decoded(endpoint, status, body, _List)
    return [each for each in told.models or () if each.model]


async def abilities(endpoint: Endpoint, model: str) -> frozenset[str]:
    """The capabilities of a model; raises `ModelNotFound` and `UpstreamError`s."""
    status, body = await fetch(endpoint, "/api/show", {"model": model}, timeout_s=_TIMEOUT_S)
    if status in (400, 404):  # 400: no model can have this name
        raise model_not_found(model)
    return frozenset(_decoded(endpoint, status, body, _Model).capabilities or ())


async def unload(endpoint: Endpoint, model: str) -> None:
    """Has a model leave the memory once it has answered; raises `UpstreamError`s."""
    body = {"model": model, "keep_alive": 0, "stream": False}
    status, told = await fetch(endpoint, "/api/generate", body, timeout_s=_TIMEOUT_S)
    _decoded(endpoint, status, told, object)


def _decoded(endpoint: Endpoint, status: int, body: bytes, kind: type[T]) -> T:
    if status != 200:
        raise UpstreamError(
            f"Ollama at {endpoint.shown_url} can't tell its models: it answers with status {status}. Its log says more."
        )
    try:
        return msgspec.json.decode(body, type=kind)
    except ValueError as error:  # as msgspec's are
        raise not_ollama(endpoint) from error
