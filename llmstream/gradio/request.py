"""The request behind an event of Gradio's: who asks, on which page, and whether that is still there."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.authentication import SimpleUser
from starlette.requests import HTTPConnection

from llmstream.gradio.active_answers import Session
from llmstream.http.audience import CALLER

# So long a page may leave what it is sent where it is, where the settings give a client longer.
_GONE_AFTER_S = 5.0
# How often it is looked whether a page has opened the stream of its events: as often as Gradio looks for work.
_LOOK_S = 0.01


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
    never notices: it would have the model answer nobody, and keeps for ever what nobody reads, a conversation for each
    question. So nothing large is sent before the page reads. send_timeout_s: of the settings.
    """

    def __init__(self, request: Any, send_timeout_s: float) -> None:
        self._limit_s = min(_GONE_AFTER_S, send_timeout_s)
        self._session = request.session_hash
        app: Any = request.request.scope.get("app") if request.request is not None else None
        self._blocks = app.get_blocks() if hasattr(app, "get_blocks") else None
        self._has_read = False
        self._unread_since: float | None = None

    async def is_there(self) -> bool:
        """True unless what was sent has been there for too long; waits the first time until the page has read."""
        while not self._has_read and self._is_unread() and not self._is_gone():  # noqa: ASYNC110 - Gradio tells nobody
            await asyncio.sleep(_LOOK_S)
        self._has_read = True
        return not self._is_gone()

    def _is_gone(self) -> bool:
        if not self._is_unread():
            self._unread_since = None
            return False
        self._unread_since = self._unread_since or time.monotonic()
        return time.monotonic() - self._unread_since > self._limit_s

    def _is_unread(self) -> bool:
        queues = self._blocks._queue.pending_messages_per_session if self._blocks is not None else {}  # noqa: SLF001
        queue = queues.get(self._session)
        return queue is not None and queue.qsize() > 0
