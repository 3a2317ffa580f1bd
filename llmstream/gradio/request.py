"""The request behind an event of Gradio's: who asks, on which page, and whether that is still there."""

from __future__ import annotations

import time
from typing import Any

from starlette.authentication import SimpleUser
from starlette.requests import HTTPConnection

from llmstream.gradio.active_answers import Session
from llmstream.http.audience import CALLER

# So long a page may leave what it is sent where it is, where the settings give a client longer.
_GONE_AFTER_S = 5.0


def session(request: Any) -> Session:
    """The caller, whom `identify` or Gradio's `auth` has named, and the page's own id."""
    scope = request.request.scope if request.request is not None else {}
    return str(scope.get(CALLER) or request.username or ""), str(request.session_hash)


def connection(request: Any) -> HTTPConnection | None:
    """The request as `prepare` gets it; its `user` is whom Gradio's `auth` has let in, where the app names no other."""
    if request.request is None:
        return None
    scope = request.request.scope
    user = {"user": SimpleUser(request.username)} if request.username and "user" not in scope else {}
    return HTTPConnection({**scope, **user})


class Presence:
    """A look at whether a page takes what it is sent.

    Gradio notices that a page is gone by the stream of its events. A page that goes before it has opened the stream it
    never notices, and would have the model answer nobody. send_timeout_s: of the settings.
    """

    def __init__(self, request: Any, send_timeout_s: float) -> None:
        self._limit_s = min(_GONE_AFTER_S, send_timeout_s)
        self._session = request.session_hash
        app: Any = request.request.scope.get("app") if request.request is not None else None
        self._blocks = app.get_blocks() if hasattr(app, "get_blocks") else None
        self._unread_since: float | None = None

    def is_gone(self) -> bool:
        """True if what was sent has been there for too long; to be asked some time after it was sent."""
        queues = self._blocks._queue.pending_messages_per_session if self._blocks is not None else {}  # noqa: SLF001
        queue = queues.get(self._session)
        if queue is None or not queue.qsize():
            self._unread_since = None
            return False
        self._unread_since = self._unread_since or time.monotonic()
        return time.monotonic() - self._unread_since > self._limit_s
