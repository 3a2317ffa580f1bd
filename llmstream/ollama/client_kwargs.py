"""An Ollama server, reached as httpx's client with the same arguments would reach it."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Mapping
from typing import Any

from llmstream.errors import SettingsError
from llmstream.ollama.endpoint import Endpoint, basic_auth, key_header, limits_of
from llmstream.ollama.models import Ollama
from llmstream.settings import Settings


def ollama_with(settings: Settings, client_kwargs: Mapping[str, Any]) -> Ollama:
    """The server that the settings name, with headers, timeout, verify, cookies and auth as httpx takes them.

    Raises `SettingsError` for anything else but `follow_redirects`, which no answer of Ollama's needs.
    """
    if not client_kwargs:
        return Ollama.of(settings)
    kwargs = {name: value for name, value in client_kwargs.items() if (name, value) != ("proxy", None)}
    _check(kwargs)
    return Ollama(
        Endpoint(
            url=settings.ollama_url,
            **limits_of(settings, wait_s(kwargs.get("timeout"))),
            headers=key_header(settings.ollama_api_key, settings.ollama_url) | _headers(kwargs),
            cookies=dict(kwargs.get("cookies") or {}),
            tls=_tls(kwargs.get("verify")),
            free_stuck_models=settings.free_stuck_models,
        )
    )


def _check(kwargs: Mapping[str, Any]) -> None:
    """Raises `SettingsError` for what can't be honoured."""
    if "proxy" in kwargs:
        raise SettingsError(
            "client_kwargs proxy is not supported: answers are read without a proxy. Use langchain_ollama's own "
            "ChatOllama for an Ollama behind one."
        )
    if others := sorted(kwargs.keys() - {"headers", "timeout", "verify", "cookies", "auth", "follow_redirects"}):
        raise SettingsError(
            f"client_kwargs {others} can't be honoured; headers, timeout, verify, cookies and auth can."
        )


def _headers(kwargs: Mapping[str, Any]) -> dict[str, str]:
    headers = {_text(name).lower(): _text(value) for name, value in dict(kwargs.get("headers") or {}).items()}
    auth = kwargs.get("auth")
    if auth is not None:
        if not (isinstance(auth, tuple) and len(auth) == 2):
            raise SettingsError("client_kwargs auth takes a pair, (user, password), here.")
        headers["authorization"] = basic_auth(*auth)
    return headers


def wait_s(timeout: object) -> float | None:
    """The timeout in seconds; of an `httpx.Timeout`, the one for reading."""
    wait_s = getattr(timeout, "read", timeout)
    return float(wait_s) if isinstance(wait_s, int | float) else None


def _tls(verify: bool | str | ssl.SSLContext | None) -> bool | ssl.SSLContext:
    if verify is None:
        return True
    return _context_of(verify) if isinstance(verify, str) else verify


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


@functools.lru_cache(maxsize=16)
def _context_of(cafile: str) -> ssl.SSLContext:
    """The TLS context that trusts a file's certificates; one for all requests, which may share a connection then."""
    return ssl.create_default_context(cafile=cafile)
