"""The audience of an answer: the developer at the server's own machine, or anybody."""

from __future__ import annotations

from starlette.types import Scope

from llmstream.addresses import HOST, LOOPBACK_HOSTS
from llmstream.http.headers import first_of_each
from llmstream.http.origins import is_loopback
from llmstream.settings import Settings

# In the scope of a request: the name of its caller, "" where callers are not told apart.
CALLER = "llmstream.caller"


def is_public(settings: Settings, scope: Scope | None) -> bool:
    """True unless a server that nothing opens to others (token, callers, names, origins) is asked by a loopback name.

    scope: of the request; None where a run is no request's, as in a Gradio page.
    """
    if settings.token is not None or settings.allowed_origins or set(settings.allowed_hosts) - set(LOOPBACK_HOSTS):
        return True
    if scope is None:
        return False
    host = HOST.fullmatch(first_of_each(scope).get("host", "").lower())
    return host is None or not is_loopback(host["name"]) or bool(scope.get(CALLER))
