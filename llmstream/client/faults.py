"""The errors of the client: what was expected of an address, what came, and what to do."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

import aiohttp

from llmstream.addresses import shown_url
from llmstream.errors import (
    BodyTooLarge,
    LlmstreamError,
    SettingsError,
    UpstreamTruncated,
    UpstreamUnreachable,
    error_from_code,
)

# With these a proxy says that there is nobody behind it.
NOBODY = (502, 503, 504)

_ADDRESS = "Check the address: it is that of the router, such as http://localhost:8000, or http://localhost:8000/llm."


def checked_url(url: str) -> str:
    """The address of a server without a slash at its end; raises `SettingsError` for what is none."""
    if not url.startswith(("http://", "https://")):
        raise SettingsError("A client takes an address with http:// or https://, such as http://localhost:8000.")
    return url.rstrip("/")


def unreachable(url: str, error: Exception) -> UpstreamUnreachable:
    """The error for an address where nothing answers."""
    return UpstreamUnreachable(
        f"No llmstream server answers at {shown_url(url)}: {_reason(error)}. "
        "Start it with `llmstream serve`, or check the address."
    )


def lost(url: str, error: Exception | None) -> UpstreamTruncated:
    """The error for a run that can't be followed any more."""
    told = f": {_reason(error)}" if error is not None else ""
    return UpstreamTruncated(
        f"The connection to {shown_url(url)} was lost, and it did not come back{told}. "
        "`follow` with the run's id goes on once the server answers."
    )


def forgotten() -> UpstreamTruncated:
    """The error for a run that the server can't go on with from where it was cut."""
    return UpstreamTruncated("The server does not know how to go on with this answer. Ask again.")


def not_llmstream(url: str, what: str) -> LlmstreamError:
    """The error for an answer that llmstream does not give; what: what came."""
    return LlmstreamError(f"Expected llmstream at {shown_url(url)}, got {what}. {_ADDRESS}")


async def refusal(url: str, got: aiohttp.ClientResponse) -> LlmstreamError:
    """The error for a status that is none of an answer: the server's own, or one for what stands in its place."""
    with suppress(ValueError, KeyError, TypeError, aiohttp.ClientError):
        fields = await got.json()
        return error_from_code(str(fields["code"]), str(fields["message"]))
    where, status = shown_url(url), got.status
    if status in NOBODY:
        return UpstreamUnreachable(
            f"A proxy at {where} answered with status {status} in llmstream's place: it reaches no server behind it. "
            "See that `llmstream serve`, or your app, runs where the proxy looks for it."
        )
    if status in (401, 403, 407):
        return LlmstreamError(
            f"What stands before llmstream at {where} refused the request (status {status}). "
            "Give the client what it asks for, with token= or headers=."
        )
    if status == 413:
        return BodyTooLarge(
            f"The request is larger than what stands before llmstream at {where} lets through (status 413). "
            "Shorten it, or raise the limit there (nginx: client_max_body_size)."
        )
    if status >= 500:
        return LlmstreamError(f"The server at {where} failed (status {status}) and did not say why. Its log does.")
    return not_llmstream(url, f"status {status} without llmstream's reason")


def _reason(error: Exception) -> str:
    """The reason that a connection failed, in a few words."""
    told = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
    match told:
        case ConnectionRefusedError():
            return "nothing listens there"
        case socket.gaierror() | aiohttp.ClientConnectorDNSError():
            return "no host has that name"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({told.verify_message})"
        case ssl.SSLError():
            return "it speaks no TLS (https) there"
        case TimeoutError():
            return "it did not answer in time"
        case aiohttp.InvalidURL():
            return "it is no address"  # the URL may hold a password
    return str(error) or "the connection was cut"
