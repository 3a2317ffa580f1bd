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

import hashlib
import hmac
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmstream.errors import BodyTooLarge, Forbidden, HostNotAllowed, LlmstreamError, SettingsError, Unauthorized
from llmstream.settings import HOST, LOOPBACK_HOSTS, Settings, without_default_port

Fields = Mapping[str, str]
# A path below the app's own, and an error → how clients of that path read it, or None where they read plain JSON.
Refusal = Callable[[str, LlmstreamError], Response | None]
# Names the caller of a request, or gives None for nobody (401); may be async.
Identify = Callable[[HTTPConnection], str | Awaitable[str | None] | None]

CALLER = "llmstream.caller"
LOCAL_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"

STATUS = {
    "invalid_request": 422, "body_too_large": 413, "capability_missing": 422, "unauthorized": 401, "forbidden": 403,
    "host_not_allowed": 421, "model_not_found": 404, "model_not_allowed": 403, "run_not_found": 404,
    "key_conflict": 409, "cancelled": 409, "busy": 503, "too_many_runs": 429, "upstream_unreachable": 502,
    "upstream_busy": 503, "upstream_timeout": 504, "upstream_stalled": 504, "upstream_truncated": 502,
    "upstream_empty": 502, "upstream_protocol": 502, "upstream_error": 502, "chain_failed": 500, "server_shutdown": 503,
}  # fmt: skip

_LOCAL_ORIGIN = re.compile(LOCAL_ORIGIN)
_LENGTH = re.compile(r"[0-9]{1,18}")


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
            cookie = _check_token(scope, headers, self._settings.token)
            scope[CALLER] = await identify_caller(scope, self._identify)
            receive = await limit_body(scope, headers, receive, self._settings.max_body_bytes)
        except LlmstreamError as error:
            return await self._refuse(scope, receive, send, error)
        if cookie is None:
            return await self._app(scope, receive, send)
        await _with_cookie(self._app, cookie, scope, receive, send)

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


def first_of_each(scope: Scope) -> Fields:
    """The request's headers by name, the first of each name; half of those that are looked for here are not there."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(list(scope["headers"]))}


def check_host(scope: Scope, headers: Fields, allowed: set[str]) -> None:
    """Raises `HostNotAllowed` unless there is one Host header and its name is on the list."""
    hosts = sum(name == b"host" for name, _ in scope["headers"])
    match = HOST.fullmatch(headers["host"].lower()) if hosts == 1 else None
    if match is None or match["name"] not in allowed:
        raise HostNotAllowed(
            "This server does not answer to that name. Add it to LLMSTREAM_ALLOWED_HOSTS if it should."
        )


def check_origin(scope: Scope, headers: Fields, allowed: Iterable[str]) -> None:
    """Raises `Forbidden` for a request that a page of another site made the browser send."""
    origin = headers.get("origin")
    if origin is not None:
        if not _is_allowed(origin, allowed, headers):
            raise Forbidden("A page of this origin may not use this server. Add it to LLMSTREAM_ALLOWED_ORIGINS.")
    elif headers.get("sec-fetch-site") not in (None, "same-origin", "same-site", "none") and not _opens_page(
        scope, headers
    ):
        raise Forbidden("A page of another site may not use this server.")


def check_destination(headers: Fields) -> None:
    """Raises `Forbidden` where a browser asks for a document, an image … instead of data: a link must start nothing."""
    if headers.get("sec-fetch-dest") not in (None, "empty"):
        raise Forbidden("This address gives data to scripts; it can't be opened as a page or an image.")


def check_starter(scope: Scope, allowed: Iterable[str]) -> None:
    """Raises `Forbidden` where a GET would start a run and nothing shows that no other site's page had it sent.

    To plain http on another name than loopback a browser tells neither the origin of an image or a link nor what it
    is for; it tells the page they stand in, or nothing.
    """
    headers = first_of_each(scope)
    host = HOST.fullmatch(headers.get("host", "").lower())
    if any(name in headers for name in ("origin", "sec-fetch-site", "authorization")) or (
        host is not None and _is_loopback(host["name"])
    ):
        return
    page = urlsplit(headers.get("referer", ""))
    if not _is_allowed(f"{page.scheme}://{page.netloc}", allowed, headers):
        raise Forbidden("A GET may start an answer only from this server's own pages. Send a POST instead.")


def check_public(host: str, settings: Settings, *, allow_public: bool) -> None:
    """Raises `SettingsError` where a server would be open to the network without a token."""
    if settings.token is None and not allow_public and not _is_loopback(host):
        raise SettingsError(
            f"Listening on {host} would let anybody on the network use the model. Set LLMSTREAM_TOKEN to a secret "
            "(`openssl rand -hex 16` makes one), or say --allow-public if that is what you want."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host in LOOPBACK_HOSTS


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


async def limit_body(scope: Scope, headers: Fields, receive: Receive, limit: int) -> Receive:
    """`receive` for a body of at most `limit` bytes; raises `BodyTooLarge` before anything is parsed."""
    if scope["type"] != "http":
        return receive
    length = headers.get("content-length")
    if length is not None and (not _LENGTH.fullmatch(length) or int(length) > limit):
        raise _too_large(limit)
    # HTTP/1 ends a body by its length, to which the server holds it, or by its chunks; HTTP/2 needs neither.
    if scope.get("http_version", "1.1").startswith("1.") and "transfer-encoding" not in headers:
        return receive
    return _replay(await _read_all(receive, limit), receive)


async def _read_all(receive: Receive, limit: int) -> list[Message]:
    messages: list[Message] = []
    size = 0
    while not messages or messages[-1].get("more_body"):
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise _too_large(limit)
        messages.append(message)
    return messages


def _replay(messages: list[Message], receive: Receive) -> Receive:
    async def replayed() -> Message:
        return messages.pop(0) if messages else await receive()

    return replayed


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request is larger than {limit} bytes. Shorten it, or raise LLMSTREAM_MAX_BODY_BYTES.")


def _readable_by(origin: str) -> dict[str, str]:
    return {"access-control-allow-origin": origin, "access-control-allow-credentials": "true", "vary": "Origin"}


def _is_allowed(origin: str, allowed: Iterable[str], headers: Fields) -> bool:
    return origin in allowed or bool(_LOCAL_ORIGIN.fullmatch(origin)) or _is_own(origin, headers)


def _is_own(origin: str, headers: Fields) -> bool:
    """Whether a page comes from the address that was asked; behind a proxy only its browser knows the scheme."""
    host = headers.get("host", "").lower()
    return without_default_port(origin) in (
        without_default_port(f"http://{host}"),
        without_default_port(f"https://{host}"),
    )


def _opens_page(scope: Scope, headers: Fields) -> bool:
    """Whether somebody follows a link to a page, which is harmless: the page that holds the link can't read it."""
    return (
        scope["type"] == "http"
        and scope["method"] in ("GET", "HEAD")
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def _is_preflight(scope: Scope, headers: Fields) -> bool:
    return scope["type"] == "http" and scope["method"] == "OPTIONS" and "access-control-request-method" in headers


def _check_token(scope: Scope, headers: Fields, token: str | None) -> str | None:
    """The cookie to set, where the token came in the address; raises `Unauthorized` where it came nowhere."""
    if token is None:
        return None
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and _equal(given.strip(), token):
        return None
    name, value = _cookie(token)
    if _equal(HTTPConnection(scope).cookies.get(name, ""), value):
        return None
    query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
    if _equal(query.get("token", ""), token):
        secure = "; Secure" if scope["scheme"] in ("https", "wss") else ""
        return f"{name}={value}; HttpOnly; SameSite=Strict; Path=/{secure}"
    raise Unauthorized("This server wants a token: `Authorization: Bearer …`, or ?token=… once in a browser.")


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _cookie(token: str) -> tuple[str, str]:
    """Its name and value; not the token itself, as a cookie that leaks must not open the API from elsewhere.

    Servers on other ports of one host share its cookies, and so do those at other paths behind one proxy: with a name
    that each token makes for itself they do not log each other out.
    """
    value = hmac.new(token.encode(), b"llmstream cookie", hashlib.sha256).hexdigest()
    return f"llmstream_token_{value[:8]}", value


async def _with_cookie(app: ASGIApp, cookie: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Set the cookie; a person who opened a page is sent on to its address without the token."""
    header = (b"set-cookie", cookie.encode())
    if _opens_page(scope, first_of_each(scope)):
        query = [(key, value) for key, value in parse_qsl(scope["query_string"].decode("latin-1")) if key != "token"]
        # Relative, so that it holds whatever a proxy has put before the path, and names no host.
        page = quote(scope["path"].rpartition("/")[2]) + (f"?{urlencode(query)}" if query else "")
        location = (b"location", f"./{page}".encode())
        await send({"type": "http.response.start", "status": 303, "headers": [header, location]})
        return await send({"type": "http.response.body"})

    async def send_with_cookie(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), header]}
        await send(message)

    await app(scope, receive, send_with_cookie)


def error_fields(error: LlmstreamError) -> dict[str, object]:
    """An error as every failure with a status tells it."""
    return {"code": error.code, "message": error.message, "retryable": error.retryable}
