"""The wishes of a client that were ignored, told in a header of the response."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar

IGNORED_HEADER = "x-llmstream-ignored"

# Names, for the request that is being answered; None where a run is started without one.
_ignored: ContextVar[list[str] | None] = ContextVar("ignored", default=None)


def begin_request() -> None:
    """Begins a request, of which nothing has been ignored so far."""
    _ignored.set([])


def note_ignored(names: Iterable[str]) -> None:
    """Notes wishes that are ignored in the request being answered, if there is one."""
    noted = _ignored.get()
    if noted is not None:
        noted.extend(name for name in names if name.isascii() and name.isidentifier())


def ignored_header() -> dict[str, str]:
    """The header that tells what was ignored, empty where nothing was."""
    names = _ignored.get()
    return {IGNORED_HEADER: ", ".join(names)} if names else {}
