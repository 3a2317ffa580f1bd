"""An Ollama server, reached as httpx's client would reach it that was told the same."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Mapping
from typing import Any

from llmstream.errors import SettingsError
from llmstream.ollama.endpoint import Endpoint, basic_auth
from llmstream.ollama.models import Ollama
from llmstream.settings import Settings


def ollama_with(settings: Settings, client_kwargs: Mapping[str, Any]) -> Ollama:
    """The server that the settings name, with headers, timeout, verify, proxy, cookies and auth as httpx takes them.

    Raises `SettingsError` for anything else but `follow_redirects`.
    """
    if not client_kwargs:
        return Ollama.of(settings)
    kwargs = dict(client_kwargs)
    headers = {_text(name): _text(value) for name, value in dict(kwargs.pop("headers", None) or {}).items()}
    cookies = dict(kwargs.pop("cookies", None) or {})
    proxy = kwargs.pop("proxy", None)
    verify, auth, timeout = kwargs.pop("verify", True), kwargs.pop("auth", None), kwargs.pop("timeout", None)
    kwargs.pop("follow_redirects", None)
    if isinstance(verify, str):
        verify = _trusting(verify)
    if kwargs:
        raise SettingsError(
            f"client_kwargs {sorted(kwargs)} can't be honoured; headers, timeout, verify, proxy, cookies and auth can."
        )
    if auth is not None:
        if not (isinstance(auth, tuple) and len(auth) == 2):
            raise SettingsError("client_kwargs auth takes a pair, (user, password), here.")
        headers["Authorization"] = basic_auth(*auth)
    # A number, or what `httpx.Timeout` says of reading.
    wait_s = getattr(timeout, "read", timeout)
    first_token_s = float(wait_s) if isinstance(wait_s, int | float) else settings.first_token_timeout_s
    return Ollama(
        Endpoint(
            url=settings.ollama_url,
            connect_timeout_s=settings.connect_timeout_s,
            first_token_timeout_s=first_token_s,
            token_timeout_s=min(first_token_s, settings.token_timeout_s),
            headers=headers,
            cookies=cookies,
            proxy=None if proxy is None else str(proxy),
            tls=True if verify is None else verify,
        )
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


@functools.lru_cache(maxsize=16)
def _trusting(cafile: str) -> ssl.SSLContext:
    """What trusts the certificates in a file; one for all questions, which may share a connection then."""
    return ssl.create_default_context(cafile=cafile)
