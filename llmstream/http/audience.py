"""The audience of an answer: the developer at the server's own machine, or anybody."""

from __future__ import annotations

from ipaddress import ip_address

from starlette.types import Scope

from llmstream.addresses import HOST, LOOPBACK_HOSTS
from llmstream.http.origins import is_loopback
from llmstream.http.request_headers import first_of_each
from llmstream.settings import Settings

# In the scope of a request: the name of its caller, "" where callers are not told apart.
CALLER = "llmstream.caller"


def is_public(settings: Settings, scope: Scope | None) -> bool:
    """True unless a server that nothing opens to others (token, callers, names, origins) is asked by a loopback name.

    scope: of the request; None where a run is no request's. Anybody on the internet can claim to ask by such a name, so
    an address there speaks against it; one of a private network may be that of a container around the server.
    """
    if settings.token is not None or settings.allowed_origins or set(settings.allowed_hosts) - set(LOOPBACK_HOSTS):
        return True
    if scope is None:
        return False
    host = HOST.fullmatch(first_of_each(scope).get("host", "").lower())
    return host is None or not is_loopback(host["name"]) or bool(scope.get(CALLER)) or _is_from_internet(scope)


def _is_from_internet(scope: Scope) -> bool:
    try:
        ip = ip_address((scope.get("client") or ("",))[0])
    except ValueError:  # a socket in the file system
        return False
    # A server that listens on both versions tells an address of the fourth as one of the sixth.
    return (getattr(ip, "ipv4_mapped", None) or ip).is_global
