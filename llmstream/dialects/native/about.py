"""The endpoints about the server itself: its models, its health, its figures, and the React hook that it hands out."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
from fastapi import Request, Response

from llmstream import __version__
from llmstream.demo_ollama.stand_in import Fallback
from llmstream.dialects.native.shadcn import registry_item
from llmstream.errors import LlmstreamError
from llmstream.http.audience import is_public
from llmstream.http.errors import error_fields
from llmstream.http.service import Service
from llmstream.ollama.names import same_model
from llmstream.ollama.server_kinds import OLLAMA
from llmstream.openai.upstream_from_settings import upstream_of
from llmstream.runs.input_limits import is_allowed
from llmstream.runs.metrics import CONTENT_TYPE
from llmstream.runs.redacted_failures import plain_error, plain_notice
from llmstream.settings import Settings


class AboutServer:
    """The endpoints about the server itself."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def models(self, request: Request) -> dict[str, Any]:
        """The models a client may ask for, the one that answers by default, and what a question may be asked with."""
        takes = await self._service.takes()
        if self._service.chain is not None:
            return {"models": [], "default": self._service.name, "takes": takes}
        settings = self._service.runs.settings
        upstream = await upstream_of(settings)
        models = [model for model in await upstream.models() if is_allowed(model.name, settings)]
        default = settings.model or (await upstream.choose_model() if models else None)
        shown = [
            {"name": each.name, "size": each.size or 0, "loaded": each.loaded}
            | ({"context_length": each.context_length} if each.context_length else {})
            | ({"hosts": list(each.hosts)} if each.hosts and _may_know_hosts(settings, request) else {})
            for each in models
        ]
        return {
            "models": shown,
            "default": next((m.name for m in models if same_model(m.name, default or "")), default),
            "takes": takes,
        }

    async def health(self, request: Request) -> dict[str, Any]:
        """The state of the server and of Ollama, and the model that answers; a chain of yours may need no Ollama."""
        store = self._service.runs.log.health()
        shared = {} if store is None else {"store": store}
        if self._service.chain is not None:
            return {"status": "ok", "version": __version__, "demo": False, "model": self._service.name, **shared}
        settings = self._service.runs.settings
        public = is_public(settings, request.scope)
        upstream = await upstream_of(settings)
        kind = "ollama" if upstream.endpoint.server is OLLAMA else "upstream"
        fallback: Fallback | None = getattr(request.app.state, "fallback", None)
        health: dict[str, Any] = {"status": "ok", "version": __version__, "demo": bool(fallback and fallback.active)}
        health |= shared
        try:
            health[kind] = {"reachable": True, "version": await upstream.version()}
            health["model"] = settings.model or await upstream.choose_model()
        except LlmstreamError as error:
            told = plain_error(error) if public else error
            health |= {"status": "degraded", "model": settings.model, "error": error_fields(told)}
            health.setdefault(kind, {"reachable": False})
        if notice := (fallback and fallback.notice) or upstream.notice:
            health["notice"] = plain_notice(is_demo=health["demo"]) if public else notice
        if _may_know_hosts(settings, request) and (hosts := await upstream.hosts()):
            health["hosts"] = [msgspec.to_builtins(host) for host in hosts]
        return health

    async def hook(self) -> dict[str, Any]:
        """The React hook as an item of a shadcn registry."""
        return registry_item()

    async def metrics(self, request: Request) -> Response:
        """Figures for Prometheus."""
        settings = self._service.runs.settings
        hosts = await (await upstream_of(settings)).hosts() if self._service.chain is None else ()
        if not _may_know_hosts(settings, request):
            hosts = [dataclasses.replace(host, name=str(number)) for number, host in enumerate(hosts, 1)]
        return Response(self._service.runs.metrics.text(hosts), media_type=CONTENT_TYPE)


def _may_know_hosts(settings: Settings, request: Request) -> bool:
    """True for the developer, and for who has the token: the names of the machines are nothing for strangers."""
    return settings.token is not None or not is_public(settings, request.scope)
