"""Where Ollama is, and the head of a request to it; pure, no I/O."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import SplitResult, quote, unquote, urlsplit

from llmstream.errors import SettingsError, UpstreamUnreachable

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where Ollama is and how long it may take.

    busy_timeout_s: how long a full queue is asked again, all retries together. headers, cookies: sent with every
    request. proxy: an `http://` address. tls: whether to check certificates, or what with.
    """

    url: str
    connect_timeout_s: float = 5
    first_token_timeout_s: float = 300
    token_timeout_s: float = 60
    busy_timeout_s: float = 5
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    proxy: str | None = None
    tls: bool | ssl.SSLContext = True

    @property
    def shown_url(self) -> str:
        """The address without a user's name and password."""
        return _shown(self.url)

    @cached_property
    def target(self) -> Target:
        """What it leads to; raises `UpstreamUnreachable` where the URL is none."""
        address = _address(self.url)
        if address is None:
            raise UpstreamUnreachable(f"{self.shown_url} is not an address. Set OLLAMA_HOST.")
        return Target(*address, self.proxy, self.tls)

    def head(self, method: str, path: str, size: int) -> bytes:
        """The head of a request with a body of so many bytes; raises `SettingsError` for what can't be sent."""
        request = f"{method} {self._base}{path} HTTP/1.1\r\n{self._headers}Content-Length: {size}\r\n\r\n"
        return request.encode()

    @cached_property
    def _base(self) -> str:
        origin = f"http://{self.target.authority}" if self.target.by_proxy else ""
        path = quote(urlsplit(self.url).path.rstrip("/"), safe="/%:@!$&'()*+,;=")
        return f"{origin}{path}"

    @cached_property
    def _headers(self) -> str:
        headers = {"host": self.target.authority, "content-type": "application/json", "user-agent": "llmstream"}
        headers |= _basic("authorization", urlsplit(self.url))
        if self.target.by_proxy:
            headers |= _basic("proxy-authorization", urlsplit(str(self.proxy)))
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers |= {name.lower(): value for name, value in self.headers.items()}
        return _lines(headers)


def unreachable(endpoint: Endpoint) -> UpstreamUnreachable:
    """The error for an address where nothing listens, with what to do."""
    return UpstreamUnreachable(
        f"Ollama is not running at {endpoint.shown_url}. Start it with `ollama serve`, or run with --demo "
        "(in Python: `with llmstream.demo():`)."
    )


@dataclass(frozen=True)
class Target:
    """The host and port to connect to; requests to the same one may share a connection."""

    scheme: str
    host: str
    port: int
    proxy: str | None
    tls: bool | ssl.SSLContext

    @property
    def authority(self) -> str:
        """Host and port, as in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def by_proxy(self) -> bool:
        """Whether a proxy is to be asked for the URL, rather than for a way to the server."""
        return self.proxy is not None and self.scheme == "http"

    @property
    def reached_at(self) -> tuple[str, int]:
        """The host and port to connect to; raises `SettingsError` for a proxy of another kind."""
        if self.proxy is None:
            return self.host, self.port
        address = _address(self.proxy)
        if address is None or address[0] != "http":
            raise SettingsError(f"A proxy for Ollama is an address such as http://host:3128, got {_shown(self.proxy)}.")
        return address[1:]

    def tunnel_head(self) -> bytes:
        """The head of the request to the proxy for a way to the server."""
        authority = f"{self.authority}:{self.port}" if self.port == _PORTS[self.scheme] else self.authority
        headers = {"host": authority} | _basic("proxy-authorization", urlsplit(str(self.proxy)))
        return f"CONNECT {authority} HTTP/1.1\r\n{_lines(headers)}\r\n".encode()


def basic_auth(user: str, password: str) -> str:
    """The value of an Authorization header for a user."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _shown(url: str) -> str:
    """A URL without a user's name and password; of any text, also one that is no URL."""
    return re.sub("//.*@", "//", url)


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
        raise SettingsError("A header or cookie for Ollama holds a line end, which can't be sent.")
    return "".join(f"{line}\r\n" for line in lines)


def _basic(header: str, parts: SplitResult) -> dict[str, str]:
    """The header for the user that a URL names, if any."""
    if not parts.username:
        return {}
    return {header: basic_auth(unquote(parts.username), unquote(parts.password or ""))}
