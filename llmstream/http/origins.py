"""The names that a server answers to, and the pages that may use it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import Scope

from llmstream.addresses import HOST, LOOPBACK_HOSTS, without_default_port
from llmstream.errors import Forbidden, HostNotAllowed, InvalidRequest, SettingsError
from llmstream.http.request_headers import Fields, content_type, first_of_each, is_json, opens_page
from llmstream.settings import Settings

LOCAL_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"
_LOCAL_ORIGIN = re.compile(LOCAL_ORIGIN)


def check_host(scope: Scope, headers: Fields, allowed: set[str]) -> None:
    """Raises `HostNotAllowed` unless there is one Host header and its name is on the list."""
    hosts = sum(name == b"host" for name, _ in scope["headers"])
    match = HOST.fullmatch(headers["host"].lower()) if hosts == 1 else None
    if match is None or match["name"] not in allowed:
        raise HostNotAllowed(
            "This server does not answer to that name. Add it to LLMSTREAM_ALLOWED_HOSTS if it should."
        )


def check_origin(scope: Scope, headers: Fields, allowed: Iterable[str]) -> None:
    """Raises `Forbidden` for a request that another page made the browser send, unless it says an allowed origin."""
    origin = headers.get("origin")
    if origin is not None:
        if not is_allowed_origin(origin, allowed, headers):
            raise Forbidden("A page of this origin may not use this server. Add it to LLMSTREAM_ALLOWED_ORIGINS.")
    elif headers.get("sec-fetch-site") not in (None, "same-origin", "none") and not opens_page(scope, headers):
        raise Forbidden("A page of another origin may not use this server without saying which.")


def check_destination(headers: Fields) -> None:
    """Raises `Forbidden` where a browser asks for a document, an image … instead of data: a link must start nothing."""
    if headers.get("sec-fetch-dest") not in (None, "empty"):
        raise Forbidden("This address gives data to scripts; it can't be opened as a page or an image.")


def check_sender(scope: Scope, headers: Fields) -> None:
    """Raises `InvalidRequest` for a body that any page may have made the browser send, with its cookies.

    Without asking first a page can send text and forms to other sites, but no JSON; and an old browser does not say
    that it was a page of another site.
    """
    kind = content_type(headers)
    has_body = bool(kind) or headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    is_told = any(name in headers for name in ("origin", "sec-fetch-site", "authorization"))
    if scope["method"] == "POST" and "cookie" in headers and not is_told and has_body and not is_json(kind):
        raise InvalidRequest("With a cookie the body must be JSON, with `content-type: application/json`.")


def check_starter(scope: Scope, allowed: Iterable[str]) -> None:
    """Raises `Forbidden` where a GET would start a run and nothing shows that no other site's page had it sent.

    To plain http on another name than loopback a browser tells neither the origin of an image or a link nor what it
    is for; it tells the page they stand in, or nothing.
    """
    headers = first_of_each(scope)
    host = HOST.fullmatch(headers.get("host", "").lower())
    if any(name in headers for name in ("origin", "sec-fetch-site", "authorization")) or (
        host is not None and is_loopback(host["name"])
    ):
        return
    page = urlsplit(headers.get("referer", ""))
    if not is_allowed_origin(f"{page.scheme}://{page.netloc}", allowed, headers):
        raise Forbidden("A GET may start an answer only from this server's own pages. Send a POST instead.")


def check_public(host: str, settings: Settings, *, allow_public: bool) -> None:
    """Raises `SettingsError` where a server would be open to the network without a token."""
    if settings.token is None and not allow_public and not is_loopback(host):
        raise SettingsError(
            f"Listening on {host} would let anybody on the network use the model. Set LLMSTREAM_TOKEN to a secret "
            "(`openssl rand -hex 16` makes one), or say --allow-public if that is what you want."
        )


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """True if a name or an address is this machine's, to itself alone."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host in LOOPBACK_HOSTS


def is_allowed_origin(origin: str, allowed: Iterable[str], headers: Fields) -> bool:
    """True if a page of this origin may use the server: it is on the list, local, or the server's own."""
    return origin in allowed or bool(_LOCAL_ORIGIN.fullmatch(origin)) or _is_own(origin, headers)


def _is_own(origin: str, headers: Fields) -> bool:
    """True if a page comes from the address that was asked; behind a proxy only its browser knows the scheme."""
    host = headers.get("host", "").lower()
    return without_default_port(origin) in (
        without_default_port(f"http://{host}"),
        without_default_port(f"https://{host}"),
    )
