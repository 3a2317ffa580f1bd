"""Addresses as people write them, and as programs compare them: of Ollama, of hosts, of a page's origin."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from llmstream.errors import SettingsError

DEFAULT_OLLAMA_URL = "http://127.0.0.1:11434"
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")

# A name or an address, in lower case, and a port.
HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?")
# Of the demo in a test: a model that leaves its address to the environment has to ask it.
asked_in_test: list[str] = []

_ORIGIN = re.compile(rf"(?P<origin>[a-z][a-z0-9+.-]*://{HOST.pattern})/?")


def parse_host(text: str) -> str:
    """A name as it stands in `allowed_hosts`: any port is answered, so one that is given goes."""
    text = text.lower()
    match = HOST.fullmatch(f"[{text}]" if text.count(":") > 1 and "[" not in text else text)
    if match is None:
        raise SettingsError(
            f"allowed_hosts (LLMSTREAM_ALLOWED_HOSTS) takes exact names such as chat.example.com, got {text!r}."
        )
    return match["name"]


def parse_origin(text: str) -> str:
    """An origin as a browser sends it: no slash at the end, no port that goes without saying."""
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        raise SettingsError(
            "allowed_origins (LLMSTREAM_ALLOWED_ORIGINS) takes exact origins such as https://chat.example.com, "
            f"without a path, got {text!r}."
        )
    return without_default_port(match["origin"])


def without_default_port(origin: str) -> str:
    """An origin without the port that its scheme has anyway."""
    port = {"http": ":80", "https": ":443"}.get(origin.partition(":")[0])
    return origin.removesuffix(port) if port else origin


def shown_url(url: str) -> str:
    """An address without the user and the password that it may hold; any text, also one that is no URL."""
    return re.sub("//.*@", "//", url)


def parse_ollama_host(text: str, *, variable: str = "OLLAMA_HOST") -> str:
    """OLLAMA_HOST as a base URL, by the rules of Ollama's own tools.

    Scheme, port and path may each be missing; `http` means port 80 and `https` 443 only where they are written. An
    address to listen on (0.0.0.0, [::]) becomes the loopback address one can connect to.
    Source: https://github.com/ollama/ollama/blob/main/envconfig/config.go (Host).
    """
    text = text.strip().strip("\"'").strip()
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest, port = "http", text, 11434
    elif scheme in ("http", "https"):
        port = 80 if scheme == "http" else 443
    else:
        raise SettingsError(f"{variable} takes an http or https address, got {text!r}.")
    if re.fullmatch(r"[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*", rest):
        rest = f"[{rest}]"  # a bare IPv6 address, which Ollama takes too
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        port = parts.port or port
        host = _connectable(parts.hostname or "127.0.0.1")
    except ValueError:
        raise SettingsError(f"{variable} takes host, host:port or a URL, got {text!r}.") from None
    user = f"{parts.username}:{parts.password or ''}@" if parts.username else ""
    return f"{scheme}://{user}{host}:{port}{parts.path.rstrip('/')}"


def _connectable(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "[::1]" if isinstance(address, IPv6Address) else "127.0.0.1"
    return f"[{host}]" if isinstance(address, IPv6Address) else host


@contextmanager
def plain_ollama_host() -> Iterator[None]:
    """Hides OLLAMA_HOST while the `ollama` package is imported, which makes a client of it and fails on some forms.

    Raises `SettingsError` where nothing can be made of OLLAMA_HOST.
    """
    given = os.environ.get("OLLAMA_HOST")
    if not given:
        yield
        return
    os.environ["OLLAMA_HOST"] = parse_ollama_host(given)
    try:
        yield
    finally:
        os.environ["OLLAMA_HOST"] = given
