"""The values that a chain of one's own is given with each request: what the app knows of it and of who asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, TypedDict

from starlette.requests import HTTPConnection

from llmstream.concurrency import call
from llmstream.http.ask import Ask
from llmstream.http.errors import hook


class Prepared(TypedDict, total=False):
    """The values of one request, all optional.

    inputs: values of the chain's variables, by name, beside the question and what was said before. config: what
    LangChain is told of the run, such as `configurable`, `tags` and `callbacks`. thread: the conversation, within those
    of the caller, in the place of the one that the client named.
    """

    inputs: Mapping[str, Any]
    config: Mapping[str, Any]
    thread: str | None


# From a request and what is asked to what the chain is given beside; None for nothing. A sync one runs in a thread. It
# may refuse by an `HTTPException` or an `LlmstreamError`. Before a cut answer goes on that is all it can do: the
# model has the very request that it was asked with.
Prepare: TypeAlias = Callable[[HTTPConnection, Ask], Prepared | Awaitable[Prepared | None] | None]


async def prepared(prepare: Prepare, request: HTTPConnection, ask: Ask) -> Prepared:
    """The values for a request; raises what `prepare` raises on purpose, and `LlmstreamError` where it is broken."""
    with hook("prepare", "The server could not prepare this question."):
        made: Prepared | None = await call(prepare, request, ask)
        if unknown := sorted(set(made or {}) - Prepared.__annotations__.keys()):
            raise TypeError(f"prepare gives a dict with inputs, config and thread, or None; got {', '.join(unknown)}")
    return made or {}
