"""The address of a model server, and the head of a request to it; pure, no I/O."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from llmstream.addresses import shown_url
from llmstream.errors import SettingsError, UpstreamError, UpstreamUnreachable
from llmstream.ollama.server_kinds import OLLAMA, ServerKind
from llmstream.settings import Settings

# How long a full queue is asked again, all retries together, in seconds.
BUSY_S = 5.0

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The address of a model server, and how long it may take.

    busy_timeout_s: how long a full queue is asked again, all retries together. tell_after_s: how long a first token may
    take before it is told when it will come. headers, cookies: sent with every request. tls: True checks certificates,
    False checks none, a context checks them its own way. server: its kind. free_stuck_models: whether a loaded model
    that let `first_token_timeout_s` pass is unloaded.
    """

    url: str
    connect_timeout_s: float = 5
    first_token_timeout_s: float = 300
    token_timeout_s: float = 60
    busy_timeout_s: float = BUSY_S
    tell_after_s: float = 3
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    tls: bool | ssl.SSLContext = True
    server: ServerKind = OLLAMA
    free_stuck_models: bool = False

    @property
    def shown_url(self) -> str:
        """The address without a user's name and password."""
        return shown_url(self.url)

    @cached_property
    def target(self) -> Target:
        """The host and port to connect to; raises `UpstreamUnreachable` where the URL is none."""
        address = _address(self.url)
        if address is None:
            raise UpstreamUnreachable(
                f"{self.shown_url} is not an address. Set {self.server.variable} to one, such as http://gpu:11434."
            )
        return Target(*address, self.tls, self.server)

    def head(self, method: str, path: str, size: int) -> bytes:
        """The head of a request with a body of `size` bytes; raises `SettingsError` for what can't be sent."""
        headers = self._headers  # before the path: for a URL that is none, these have the error
        return f"{method} {self._base_path}{path} HTTP/1.1\r\n{headers}Content-Length: {size}\r\n\r\n".encode()

    @cached_property
    def _base_path(self) -> str:
        return quote(urlsplit(self.url).path.rstrip("/"), safe="/%:@!$&'()*+,;=")

    @cached_property
    def _headers(self) -> str:
        headers = {"host": self.target.authority, "content-type": "application/json", "user-agent": "llmstream"}
        parts = urlsplit(self.url)
        if parts.username:
            headers["authorization"] = basic_auth(unquote(parts.username), unquote(parts.password or ""))
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers |= {name.lower(): value for name, value in self.headers.items()}
        return _lines(headers)


def limits_of(settings: Settings, first_token_s: float | None = None) -> dict[str, Any]:
    """The time limits of an `Endpoint`, as the settings have them; first_token_s: another one before the answer.

    Nothing in the answer is then waited for longer, either.
    """
    token_s = settings.token_timeout_s
    return {
        "connect_timeout_s": settings.connect_timeout_s,
        "first_token_timeout_s": settings.first_token_timeout_s if first_token_s is None else first_token_s,
        "token_timeout_s": token_s if first_token_s is None else min(first_token_s, token_s),
    }


def unreachable(endpoint: Endpoint, error: BaseException | None = None) -> UpstreamUnreachable:
    """The error for an address where nothing answers, with what to do; error: what the connection failed of."""
    return endpoint.server.unreachable(endpoint.shown_url, _why(error))


def _why(error: BaseException | None) -> str:
    """The reason that a connection failed, where starting a server would not mend it."""
    match error:
        case socket.gaierror():
            return "no host has that name"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message})"
        case ssl.SSLError():
            return "it speaks no TLS (https) there"
    return ""


def not_ollama(endpoint: Endpoint) -> UpstreamError:
    """The error for an address where something else listens."""
    return UpstreamError(f"What answers at {endpoint.shown_url} is not an Ollama. Check OLLAMA_HOST.")


@dataclass(frozen=True)
class Target:
    """The host and port to connect to; requests to the same one may share a connection."""

    scheme: str
    host: str
    port: int
    tls: bool | ssl.SSLContext
    server: ServerKind

    @property
    def authority(self) -> str:
        """The host and port, as in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def basic_auth(user: str, password: str) -> str:
    """The value of an Authorization header for a user."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def key_header(key: str | None, url: str) -> dict[str, str]:
    """The header with a server's key; none for a URL with a user, who goes before it, as in the `ollama` package."""
    return {"authorization": f"Bearer {key}"} if key and "@" not in url else {}


def _address(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of a URL, or None where it has none."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):  # a UnicodeError is a ValueError
        return None
    return (parts.scheme, host, port) if host else None


def _lines(headers: Mapping[str, str]) -> str:
    lines = [f"{name.title()}: {value}" for name, value in headers.items() if name != "content-length"]
    if any(end in line for line in lines for end in "\r\n\0"):
        raise SettingsError("A header or cookie for the model server holds a line end, which can't be sent.")
    return "".join(f"{line}\r\n" for line in lines)
