"""The token of a server: given in a header, or once in the address and then in a cookie."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import parse_qsl, quote, urlencode

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmstream.errors import Unauthorized
from llmstream.http.request_headers import Fields, first_of_each, opens_page


def check_token(scope: Scope, headers: Fields, token: str | None) -> str | None:
    """The cookie to set, where the token came in the address; raises `Unauthorized` where it came nowhere."""
    if token is None:
        return None
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and _equal(given.strip(), token):
        return None
    if _equal(headers.get("x-api-key", ""), token):  # as Anthropic's clients send it
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
    """The name and value of the cookie; not the token itself: a leaked cookie must not open the API from elsewhere.

    Servers on other ports of one host share its cookies, and so do those at other paths behind one proxy: with a name
    that each token makes for itself they do not log each other out.
    """
    value = hmac.new(token.encode(), b"llmstream cookie", hashlib.sha256).hexdigest()
    return f"llmstream_token_{value[:8]}", value


async def with_cookie(app: ASGIApp, cookie: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Sets the cookie; a person who opened a page is sent on to its address without the token."""
    header = (b"set-cookie", cookie.encode())
    if opens_page(scope, first_of_each(scope)):
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
