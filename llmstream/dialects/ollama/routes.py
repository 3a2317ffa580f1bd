"""Ollama's endpoints under `/ollama`: any chain as a model, for the `ollama` command and packages and `ChatOllama`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.types import Message, Receive, Scope, Send

from llmstream.dialects.ollama.backend import ChainBackend
from llmstream.dialects.openai.routes import OPENAI_ERRORS, add_openai
from llmstream.dialects.responses.routes import add_responses
from llmstream.http import schemas
from llmstream.http.dialect import Dialect, Routes
from llmstream.http.errors import TEXT, ErrorForm, object_schema
from llmstream.http.ignored import ignored_header
from llmstream.http.service import Service
from llmstream.http.stream import CACHE_CONTROL
from llmstream.ollama_server.app import ENDPOINTS, OLLAMA_VERSION, OllamaApi, OllamaRoute, no_such_path
from llmstream.ollama_server.backend import OllamaError
from llmstream.ollama_server.lines import go_json
from llmstream.ollama_server.loaded import LoadedModels
from llmstream.ollama_server.responses import refused

_PREFIX = "/ollama"
_ERRORS = ErrorForm(
    lambda error, status: go_json({"error": error.message}),
    object_schema(error=TEXT),
    "application/json; charset=utf-8",
)

_LINES = ("/api/chat", "/api/generate", "/api/pull")
_OBJECT = {"type": "object"}
_BODY = {"required": True, "content": {"application/json": {"schema": _OBJECT}}}


def add_ollama(router: APIRouter, service: Service) -> None:
    """Adds all endpoints under `/ollama`."""
    # Ollama speaks OpenAI's dialects too, and some editors ask for models in the one and chat in the other.
    add_responses(router, service, f"{_PREFIX}/v1")
    add_openai(router, service, f"{_PREFIX}/v1")
    routes = Routes(router, service, _ERRORS, prefix=_PREFIX, tag="Ollama")
    loaded = LoadedModels()
    for endpoint in ENDPOINTS:
        answer = _answering(endpoint, service, loaded)
        routes.add(endpoint.method, endpoint.path, answer, endpoint.summary, **_documented(endpoint))
        if endpoint.method == "GET":  # the `ollama` command asks so whether a server is there
            routes.add("HEAD", endpoint.path, answer, "", include_in_schema=False)
        if endpoint.path == "/":
            routes.add(endpoint.method, "", answer, endpoint.summary, include_in_schema=False)
    for method in ("GET", "HEAD", "POST"):
        routes.add(method, "/{path:path}", _no_such_path, "", include_in_schema=False)


def _documented(endpoint: OllamaRoute) -> dict[str, Any]:
    """The description of an endpoint in the OpenAPI document."""
    answer = schemas.json_response("As Ollama answers", _OBJECT)
    if endpoint.path == "/":
        answer["content"] = {"text/plain": {"schema": TEXT}}
    if endpoint.path in _LINES:
        answer["content"]["application/x-ndjson"] = {"itemSchema": _OBJECT}
    body = {"requestBody": _BODY} if endpoint.method == "POST" else {}
    return {"responses": {200: answer}, "openapi_extra": body}


def _answering(
    endpoint: OllamaRoute, service: Service, loaded: LoadedModels
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        backend = ChainBackend(service, request)
        try:
            return _Sent(await endpoint.call(OllamaApi(backend, OLLAMA_VERSION, loaded), request))
        except OllamaError as error:
            return refused(error)

    return answer


async def _no_such_path(request: Request, path: str) -> Response:
    return no_such_path(f"/{path}")


class _Sent(Response):
    """A response as this server sends it: with the headers of a stream, and what was ignored.

    U+0085 is escaped, because `ollama` for Python takes a raw one for the end of a line.
    """

    def __init__(self, response: Response) -> None:
        super().__init__()
        self._response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = {"cache-control": CACHE_CONTROL, **ignored_header()}
                added = [(name.encode(), value.encode()) for name, value in headers.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            elif b"\xc2\x85" in message.get("body", b""):
                message = {**message, "body": message["body"].replace(b"\xc2\x85", b"\\u0085")}
            await send(message)

        await self._response(scope, receive, sending)


OLLAMA = Dialect("ollama", add_ollama, forms={f"{_PREFIX}/v1": OPENAI_ERRORS, _PREFIX: _ERRORS})
