"""Ollama's endpoints under `/ollama`: any chain as a model, for the `ollama` command and packages and `ChatOllama`.

They stand on the demo Ollama's own code; here is what answers instead of the demo, and who may ask.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable
from contextvars import ContextVar
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmstream.dialects.ollama.pieces import OllamaPieces
from llmstream.dialects.ollama.request import ask_of
from llmstream.dialects.openai.routes import openai_router
from llmstream.errors import LlmstreamError, ModelNotFound
from llmstream.http.errors import retry_headers, status_of
from llmstream.http.security import CALLER
from llmstream.http.service import Service
from llmstream.ollama.models import Ollama
from llmstream.ollama_server.app import create_ollama_app
from llmstream.ollama_server.backend import ChatRequest, Model, OllamaError, Piece, PullProgress
from llmstream.ollama_server.checks import full_name
from llmstream.ollama_server.responses import json_response
from llmstream.runs.limits import check_model

# A chain does not say how much it can read; nothing is refused for being too long before Ollama has seen it.
_CONTEXT = 2**20
_caller: ContextVar[str] = ContextVar("_caller", default="")


def ollama_router(service: Service) -> APIRouter:
    """Everything under `/ollama`."""
    backend = ChainBackend(service)
    app = create_ollama_app(backend)

    async def serve(request: Request) -> Any:
        try:
            request = await service.admit(request)
            data = await request.body()
            await backend.prepare(str(request.path_params.get("path", "")), _model_in(data))
        except LlmstreamError as error:
            return ollama_error(error)
        return _Inner(app, request, data)

    router = APIRouter()
    # Ollama speaks OpenAI's dialect too, and some editors ask for models in the one and chat in the other.
    router.include_router(openai_router(service, "/ollama/v1", include_in_schema=False))
    for path in ("/ollama", "/ollama/{path:path}"):
        router.add_route(path, serve, methods=["GET", "POST"], include_in_schema=False)
    return router


def ollama_error(error: LlmstreamError) -> Response:
    """An error as Ollama's clients read it."""
    response = json_response({"error": error.message}, status=status_of(error))
    response.headers.update(retry_headers(error))
    return response


def _model_in(data: bytes) -> str:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return ""  # the dialect's own code says what is wrong with it
    return str(body.get("model") or body.get("name") or "") if isinstance(body, dict) else ""


class _Inner:
    """The dialect's app below its address, with the request's body once more."""

    def __init__(self, app: ASGIApp, request: Request, data: bytes) -> None:
        self._app = app
        self._path = f"/{request.path_params.get('path', '')}"
        self._bodies = [data]
        self._receive = request.receive

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI app."""
        _caller.set(scope[CALLER])

        async def escaping(message: Message) -> None:
            # `ollama` for Python takes a raw U+0085 for the end of a line; in JSON it may be escaped.
            if b"\xc2\x85" in message.get("body", b""):
                message = {**message, "body": message["body"].replace(b"\xc2\x85", b"\\u0085")}
            await send(message)

        inner = {**scope, "path": self._path, "raw_path": self._path.encode(), "root_path": ""}
        await self._app(inner, self._replay, escaping)

    async def _replay(self) -> Message:
        if self._bodies:
            return {"type": "http.request", "body": self._bodies.pop(), "more_body": False}
        return await self._receive()


class ChainBackend:
    """The chain under its name, or the models of the default chain; see `demo_ollama.backend.Backend`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._known: dict[str, Model] = {}
        self._listed: list[Model] = []
        if service.chain is not None:
            self._listed = [Model(full_name(service.name), context_length=_CONTEXT)]
            self._known = {model.name: model for model in self._listed}

    async def prepare(self, path: str, name: str) -> None:
        """Learn from Ollama what a request is about to ask for; raises what Ollama fails with."""
        if self._service.chain is not None:
            return
        ollama = Ollama.of(self._service.runs.settings)
        if path == "api/tags":
            names = await self._service.models()
            self._listed = [await self._describe(ollama, each) for each in names]
        elif name and path in ("api/show", "api/chat", "api/generate"):
            check_model(name, self._service.runs.settings)
            await self._describe(ollama, name)

    async def _describe(self, ollama: Ollama, name: str) -> Model:
        key = _full_name(name)
        try:
            able = await ollama.capabilities(name)
        except ModelNotFound:
            self._known.pop(key, None)
            return Model(key)
        self._known[key] = Model(key, tuple(sorted(able)), context_length=_CONTEXT)
        return self._known[key]

    def models(self) -> Iterable[Model]:
        """The listed models."""
        return self._listed

    def find(self, name: str) -> Model | None:
        """The model of a full name."""
        return self._known.get(name)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Piece, None]:
        """The answer, piece by piece; closing this stops the run, because this client can't come back."""
        model = self._known.get(full_name(request.model))
        can_think = model is not None and "thinking" in model.capabilities
        try:
            allowed = self._service.runs.settings.allowed_options if self._service.chain is None else ()
            ask = ask_of(request, can_think=can_think, allowed=allowed)
            run = await self._service.start(ask, caller=_caller.get(), grace_s=0)
            follower = run.follower(idle_s=3600)
            try:
                pieces = OllamaPieces(truncate=request.truncate)
                async for batch in follower:
                    for piece in pieces.read(batch.events):
                        yield piece
            finally:
                follower.close()
        except LlmstreamError as error:
            raise OllamaError(error.message, status=status_of(error)) from error

    async def pull(self, name: str) -> AsyncGenerator[PullProgress, None]:
        """Nothing can be got from here."""
        raise OllamaError("models are not pulled through this server, but where its Ollama runs", status=403)
        yield PullProgress("")


def _full_name(name: str) -> str:
    try:
        return full_name(name)
    except OllamaError:
        return name
