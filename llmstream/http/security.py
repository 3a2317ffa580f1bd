"""The doors of an app, as pure ASGI around everything that is mounted.

The threats, and what stands against each:

- A page anywhere on the web makes the user's browser ask this server: an `Origin` that is not allowed, or a request of
  another origin's page without one (of another subdomain's, too, since cookies go with it), is refused (403). CORS
  alone would hide the answer but still start the generation.
- The same page through DNS rebinding, where the browser takes evil.example for this server: the `Host` must be on an
  exact list (421), whatever the route.
- A form of such a page, in a browser that tells no origin: with a cookie a body must be JSON (`check_sender`).
- A link or an image that starts a generation: a request for a document, an image, a script … is refused where a GET
  would start one (`check_destination`).
- Somebody else on the network: a token, compared in constant time. A browser gives it once as `?token=` and then holds
  a cookie that scripts can't read and that no other site's page makes it send.
- A request that fills the memory: a body over the limit is refused before it is parsed (413).
- Another user of the same server: `identify` names the caller of each request; runs, request keys and chats belong to
  theirs, and another's is not found (404).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from llmstream.concurrency import call
from llmstream.errors import Forbidden, HostNotAllowed, LlmstreamError, Unauthorized
from llmstream.http.audience import CALLER, is_public
from llmstream.http.body import limit_body
from llmstream.http.errors import NATIVE, ErrorForm, error_response, hook
from llmstream.http.origins import check_host, check_origin
from llmstream.http.request_headers import Fields, first_of_each
from llmstream.http.token import check_token, with_cookie
from llmstream.runs.redacted_failures import plain_error
from llmstream.settings import Settings

# Names the caller of a request, or gives None for nobody (401), and may raise an `HTTPException` of its own; a sync one
# runs in a thread.
Identify = Callable[[HTTPConnection], str | Awaitable[str | None] | None]


class Security:
    """The doors of an app: host, origin, token, caller, size of the body, in this order.

    form_of: from a path below the app's own to the form in which its clients read an error.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        identify: Identify | None = None,
        form_of: Callable[[str], ErrorForm] = lambda path: NATIVE,
    ) -> None:
        self._app = app
        self._form_of = form_of
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
            receive = await limit_body(scope, headers, receive, self._settings)
        except (LlmstreamError, HTTPException) as error:
            return await self._refuse(scope, receive, send, error)
        if cookie is None:
            return await self._app(scope, receive, send)
        await with_cookie(self._app, cookie, scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, error: LlmstreamError | HTTPException) -> None:
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        if isinstance(error, LlmstreamError) and is_public(self._settings, scope):
            error = plain_error(error)
        response: Response
        if isinstance(error, HTTPException):  # in FastAPI's form, as if a dependency had raised it
            response = JSONResponse({"detail": error.detail}, error.status_code, error.headers)
        else:
            response = error_response(error, self._form_of(scope["path"].removeprefix(scope.get("root_path", ""))))
        origin = first_of_each(scope).get("origin")
        if origin is not None and not isinstance(error, HostNotAllowed | Forbidden):
            # A page that may use this server is told what is wrong, not only that something is.
            response.headers.update(_readable_by(origin))
        await response(scope, receive, send)


async def identify_caller(scope: Scope, identify: Identify | None) -> str:
    """The caller's name, "" where callers are not told apart.

    Raises `Unauthorized` for nobody, what `identify` raises on purpose, and `LlmstreamError` where it is broken.
    """
    if identify is None:
        return str(scope.get(CALLER, ""))
    with hook("identify", "The server could not tell who asks."):
        caller: object = await call(identify, HTTPConnection(scope))
        # True would be everybody's name, and the object of a user another one with each request.
        if caller and not isinstance(caller, str):
            raise TypeError(
                f"identify gives the caller's name as a str, or None for nobody, not {type(caller).__name__}"
            )
    if not isinstance(caller, str) or not caller:
        raise Unauthorized("This server wants to know who asks. Log in first.")
    return caller


def _readable_by(origin: str) -> dict[str, str]:
    return {"access-control-allow-origin": origin, "access-control-allow-credentials": "true", "vary": "Origin"}


def _is_preflight(scope: Scope, headers: Fields) -> bool:
    return scope["type"] == "http" and scope["method"] == "OPTIONS" and "access-control-request-method" in headers
