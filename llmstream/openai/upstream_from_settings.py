"""The model server that the settings name: an Ollama, one with OpenAI's chat completions, or several of a kind."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Sequence

from llmstream.errors import UpstreamError
from llmstream.ollama.chat import fetch
from llmstream.ollama.hosts.failover import Hosts
from llmstream.ollama.models import Ollama
from llmstream.ollama.upstream import Upstream
from llmstream.openai.models import OpenAIServer
from llmstream.settings import Settings
from llmstream.untrusted_json import json_object

# How long a server may take to tell what it is, and how soon one that did not is asked again.
_TELL_S = _AGAIN_S = 2
# A server that asks for a key says as little of itself as this.
_REFUSED = (401, 403)

_spoken: dict[str, tuple[float, bool | None]] = {}


async def upstream_of(settings: Settings) -> Upstream:
    """The shared instance for what the settings say of the server, or of the servers.

    An address without /v1 is asked once what it speaks; while it does not answer it counts as an Ollama's.
    """
    if settings.upstream is None:
        return Ollama.of(settings)
    urls = settings.upstream.split(",")
    kind: type[Ollama | OpenAIServer] = Ollama
    if urls[0].endswith("/v1"):
        kind = OpenAIServer
    elif await _any_speaks_openai(settings, urls):
        kind, urls = OpenAIServer, [f"{url}/v1" for url in urls]
    if len(urls) == 1:
        return kind.of(settings, urls[0])
    return _hosts(tuple(kind.of(settings, url, busy_timeout_s=0) for url in urls))


@functools.lru_cache(maxsize=32)
def _hosts(servers: tuple[Upstream, ...]) -> Hosts:
    return Hosts(servers)


async def _any_speaks_openai(settings: Settings, urls: Sequence[str]) -> bool:
    """True if the first of these that answers is no Ollama; it is asked once, by one of all who want to know."""
    asked = str(settings.upstream)
    at, known = _spoken.get(asked, (-float("inf"), None))
    if known is None and time.monotonic() - at > _AGAIN_S:
        ask = functools.partial(_first_to_tell, settings, urls)
        known = await Ollama.of(settings, urls[0]).once(f"speaks {asked}", ask)
        _spoken[asked] = time.monotonic(), known
    return bool(known)


async def _first_to_tell(settings: Settings, urls: Sequence[str]) -> bool | None:
    asking = [asyncio.ensure_future(_speaks_openai(settings, url)) for url in urls]
    try:
        for told in asyncio.as_completed(asking, timeout=_TELL_S):
            if (known := await told) is not None:
                return known
        return None
    except TimeoutError:
        return None
    finally:
        for each in asking:
            each.cancel()


async def _speaks_openai(settings: Settings, url: str) -> bool | None:
    """True if there is no Ollama at an address, but OpenAI's list of models; None where nothing answers."""
    ollama, server = Ollama.of(settings, url), OpenAIServer.of(settings, f"{url}/v1")
    try:
        status, body = await fetch(ollama.endpoint, "/api/version")
        told = json_object(body)
        if status in _REFUSED or "version" in told:
            return isinstance(told.get("error"), dict)  # as OpenAI has it, and llama.cpp's server; Ollama's is a text
        status, body = await fetch(server.endpoint, "/models")
    except UpstreamError:
        return None
    return status in _REFUSED or "data" in json_object(body)
