"""The audience of an answer: the developer at the server's own machine, or anybody."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address

from starlette.types import Scope

from llmstream.addresses import HOST, LOOPBACK_HOSTS
from llmstream.http.origins import is_loopback
from llmstream.http.request_headers import first_of_each
from llmstream.settings import Settings

# In the scope of a request: the name of its caller, "" where callers are not told apart; whether it is of the public.
CALLER = "llmstream.caller"
_IS_PUBLIC = "llmstream.is_public"


def is_public(settings: Settings, scope: Scope | None) -> bool:
    """True unless a server that nothing opens to others (token, callers, names, origins) is asked by a loopback name.

    scope: of the request; None where a run is no request's. Anybody on the internet can claim to ask by such a name, so
    an address there speaks against it; one of a private network may be that of a container around the server.
    """
    if settings.token is not None or settings.allowed_origins or set(settings.allowed_hosts) - set(LOOPBACK_HOSTS):
        return True
    if scope is None:
        return False
    known: bool | None = scope.get(_IS_PUBLIC)
    if known is None:
        host = HOST.fullmatch(first_of_each(scope).get("host", "").lower())
        is_local = host is not None and is_loopback(host["name"]) and not scope.get(CALLER)
        known = scope[_IS_PUBLIC] = not is_local or _is_on_internet((scope.get("client") or ("",))[0])
    return known


@lru_cache(maxsize=256)
def _is_on_internet(host: str) -> bool:
    try:
        ip = ip_address(host)
    except ValueError:  # a socket in the file system
        return False
    # A server that listens on both versions tells an address of the fourth as one of the sixth.
    return (getattr(ip, "ipv4_mapped", None) or ip).is_global
