"""The request behind an event of Gradio's: who asks, and on which page."""

from __future__ import annotations

from typing import Any

from starlette.authentication import SimpleUser
from starlette.requests import HTTPConnection

from llmstream.gradio.active_answers import Session
from llmstream.http.audience import CALLER


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
