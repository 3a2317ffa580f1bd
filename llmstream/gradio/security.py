"""The doors of a chat page: who comes in, what it takes, and what its pages may load."""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmstream.http.audience import CALLER
from llmstream.http.request_headers import first_of_each
from llmstream.http.security import Security
from llmstream.runs.manager import Runs

# Gradio's page builds functions from text, hence 'unsafe-eval'; nothing comes from elsewhere, and a picture that an
# answer names on another host is not loaded.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "frame-src 'none'; object-src 'none'; base-uri 'self'; form-action 'none'"
)

# How often files are looked at, and after how long they are deleted: a person comes back to a page within a day.
KEPT_S = (3600, 24 * 3600)

_STARTUP, _UPLOAD = "/gradio_api/startup-events", "/gradio_api/upload"


class Room:
    """The room for the files of all people: Gradio keeps each for a day, and does not ask how many there are."""

    def __init__(self, limit_bytes: int = 2**30, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._taken: deque[tuple[float, int]] = deque()
        self._bytes = 0

    def take(self, length: str) -> bool:
        """Takes room for a request of this length; False where there is none, or the length is not told."""
        now = self._clock()
        while self._taken and now - self._taken[0][0] > sum(KEPT_S):
            self._bytes -= self._taken.popleft()[1]
        if not length.isdecimal() or self._bytes + int(length) > self._limit_bytes:
            return False
        self._taken.append((now, int(length)))
        self._bytes += int(length)
        return True


class Doors:
    """The middleware that lets in whom the settings allow, unless the app around has doors; limits what pages load."""

    def __init__(self, app: ASGIApp, runs: Runs, *, uploads: bool) -> None:
        self._app = app
        self._runs = runs
        self._uploads = uploads
        self._room = Room()

    @functools.cached_property
    def _guarded(self) -> Security:
        # Made with the first request: by then the app's endpoints have said whose these runs are.
        return Security(self._app, settings=self._runs.settings, identify=self._runs.identify)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        path = scope["path"]
        if path.rstrip("/").endswith(_UPLOAD) and scope["method"] == "POST":
            if not self._uploads:
                refused = JSONResponse({"detail": "This chat takes no files."}, 403)
                return await refused(scope, receive, send)
            if not self._room.take(first_of_each(scope).get("content-length", "")):
                full = JSONResponse({"detail": "There is no room for more files now. Ask without one, or later."}, 413)
                return await full(scope, receive, send)
        # Gradio asks this of itself when it starts, without a token; it does the same thing for everybody, once.
        is_open = CALLER in scope or path == _STARTUP
        await (self._app if is_open else self._guarded)(scope, receive, _with_policy(send))


def _with_policy(send: Send) -> Send:
    async def send_with_policy(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if headers.get("content-type", "").startswith("text/html"):
                headers["content-security-policy"] = _POLICY
                headers["referrer-policy"] = "no-referrer"
                headers["cache-control"] = "no-store"
            headers["x-content-type-options"] = "nosniff"
        await send(message)

    return send_with_policy
