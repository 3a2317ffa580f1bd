"""Who may come in: pure ASGI, around everything that is mounted.

The threats, and what stands against each:

- A page anywhere on the web makes the user's browser ask this server: an `Origin` that is not allowed, or a cross-site
  request without one, is refused (403). CORS alone would hide the answer but still start the generation.
- The same page through DNS rebinding, where the browser takes evil.example for this server: the `Host` must be on an
  exact list (421), whatever the route.
- A link or an image that starts a generation: a request for a document, an image, a script … is refused where a GET
  would start one (`check_destination`).
- Somebody else on the network: a token, compared in constant time. A browser gives it once as `?token=` and then holds
  a cookie that scripts can't read and that no other site's page makes it send.
- A request that fills the memory: a body over the limit is refused before it is parsed (413).
- Another user of the same server: `identify` names the caller of each request; runs, request keys and chats belong to
  theirs, and another's is not found (404).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from llmstream.errors import Forbidden, HostNotAllowed, LlmstreamError, Unauthorized
from llmstream.http.body import limit_body
from llmstream.http.errors import STATUS, error_fields
from llmstream.http.headers import Fields, first_of_each
from llmstream.http.origins import check_host, check_origin
from llmstream.http.token import check_token, with_cookie
from llmstream.settings import Settings

# A path below the app's own, and an error → how clients of that path read it, or None where they read plain JSON.
Refusal = Callable[[str, LlmstreamError], Response | None]
# Names the caller of a request, or gives None for nobody (401); may be async.
Identify = Callable[[HTTPConnection], str | Awaitable[str | None] | None]
CALLER = "llmstream.caller"


class Security:
    """The doors of an app: host, origin, token, caller, size of the body, in this order."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        identify: Identify | None = None,
        refusal: Refusal = lambda path, error: None,
    ) -> None:
        self._app = app
        self._refusal = refusal
        self._settings = settings
        self._identify = identify
        self._hosts = {host.lower() for host in settings.allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        try:
            headers = first_of_each(scope)
            check_host(scope, headers, self._hosts)
            check_origin(scope, headers, self._settings.allowed_origins)
            if _is_preflight(scope, headers):  # it holds no token, and starts nothing
                return await self._app(scope, receive, send)
            cookie = check_token(scope, headers, self._settings.token)
            scope[CALLER] = await identify_caller(scope, self._identify)
            receive = await limit_body(scope, headers, receive, self._settings.max_body_bytes)
        except LlmstreamError as error:
            return await self._refuse(scope, receive, send, error)
        if cookie is None:
            return await self._app(scope, receive, send)
        await with_cookie(self._app, cookie, scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, error: LlmstreamError) -> None:
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        response = self._refusal(scope["path"].removeprefix(scope.get("root_path", "")), error)
        if response is None:
            response = JSONResponse(error_fields(error), STATUS[error.code], {"cache-control": "no-store"})
        origin = first_of_each(scope).get("origin")
        if origin is not None and not isinstance(error, HostNotAllowed | Forbidden):
            # A page that may use this server is told what is wrong, not only that something is.
            response.headers.update(_readable_by(origin))
        await response(scope, receive, send)


async def identify_caller(scope: Scope, identify: Identify | None) -> str:
    """The caller's name, "" where callers are not told apart; raises `Unauthorized` for nobody."""
    if identify is None:
        return str(scope.get(CALLER, ""))
    caller = identify(HTTPConnection(scope))
    if inspect.isawaitable(caller):
        caller = await caller
    if not caller:
        raise Unauthorized("This server wants to know who asks. Log in first.")
    return caller


def _readable_by(origin: str) -> dict[str, str]:
    return {"access-control-allow-origin": origin, "access-control-allow-credentials": "true", "vary": "Origin"}


def _is_preflight(scope: Scope, headers: Fields) -> bool:
    return scope["type"] == "http" and scope["method"] == "OPTIONS" and "access-control-request-method" in headers
