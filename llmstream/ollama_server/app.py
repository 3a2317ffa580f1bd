"""Ollama's HTTP dialect as a Starlette app; what answers is a `Backend`.

Held against the bytes of a real Ollama 0.24.0: nothing is sent before the first chunk, not even headers; an error
before it is a status, one after it an `{"error"}` line; a client that leaves ends the generation at once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from llmstream.ollama_server.backend import Backend, ChatRequest, Model, OllamaError, PullProgress
from llmstream.ollama_server.checks import check_options, full_name, read_chat, read_json
from llmstream.ollama_server.lines import AnswerLines, merged_lines
from llmstream.ollama_server.loaded import DETAILS, FAMILY, LoadedModels
from llmstream.ollama_server.responses import LinesResponse, WholeResponse, json_response, refused

OLLAMA_VERSION = "0.24.0"


def create_ollama_app(
    backend: Backend, *, version: str = OLLAMA_VERSION, loaded: LoadedModels | None = None
) -> Starlette:
    """Serves a backend in Ollama's dialect, for the `ollama` package, the `ollama` command and `ChatOllama`.

    version: what `/api/version` says. loaded: the list behind `/api/ps`; one of the app's own if None.
    """
    api = OllamaApi(backend, version, loaded or LoadedModels())
    routes = [Route(each.path, partial(each.call, api), methods=[each.method]) for each in ENDPOINTS]
    handlers: dict[Any, Any] = {OllamaError: _refused, HTTPException: _no_route}
    return Starlette(routes=routes, exception_handlers=handlers)


async def _refused(request: Request, error: OllamaError) -> Response:
    return refused(error)


async def _no_route(request: Request, error: HTTPException) -> Response:
    response = no_such_path(request.url.path)
    response.headers.update(error.headers or {})
    return response


def no_such_path(path: str) -> Response:
    """The response for a path that Ollama does not have, or not for this method."""
    is_there = any(path == endpoint.path for endpoint in ENDPOINTS)
    text, status = ("405 method not allowed", 405) if is_there else ("404 page not found", 404)
    return Response(text, status, {"content-type": "text/plain"})


class OllamaApi:
    """Ollama's endpoints over a backend."""

    def __init__(self, backend: Backend, version: str, loaded: LoadedModels) -> None:
        self._backend = backend
        self._version = version
        self._loaded = loaded

    async def root(self, request: Request) -> Response:
        """Answers that a server is there."""
        return PlainTextResponse("Ollama is running")

    async def version(self, request: Request) -> Response:
        """The version of this server."""
        return json_response({"version": self._version})

    async def tags(self, request: Request) -> Response:
        """The models."""
        return json_response({"models": [_tag_json(model) for model in await self._backend.models()]})

    async def ps(self, request: Request) -> Response:
        """The models in memory."""
        return json_response(self._loaded.to_json())

    async def show(self, request: Request) -> Response:
        """One model."""
        name = _name(read_json(await request.body(), "api.ShowRequest"))
        if not name:
            raise OllamaError("model is required", status=400)
        return json_response(_show_json(await self._find(name)))

    async def pull(self, request: Request) -> Response:
        """Gets a model."""
        body = read_json(await request.body(), "api.PullRequest")
        lines = _pull_lines(self._backend.pull(full_name(_name(body))))
        if body.get("stream") is False:
            return WholeResponse(lines, merge=lambda lines: lines[-1])
        return LinesResponse(lines)

    async def chat(self, request: Request) -> Response:
        """Answers messages."""
        return await self._answer(read_chat(await request.body(), is_generate=False))

    async def generate(self, request: Request) -> Response:
        """Answers a prompt."""
        return await self._answer(read_chat(await request.body(), is_generate=True))

    async def _find(self, name: str) -> Model:
        model = await self._backend.find(full_name(name))
        if model is None:
            raise OllamaError(f"model '{name}' not found", status=404)
        return model

    async def _answer(self, chat: ChatRequest) -> Response:
        model = await self._find(chat.model)
        if not chat.messages and chat.keep_alive_s == 0:
            self._loaded.unload(model)
            return json_response(AnswerLines(chat).empty("unload"))
        chat = _checked(chat, model)
        context_length = int(chat.options.get("num_ctx") or model.context_length)
        self._loaded.load(model, context_length=context_length, keep_alive_s=chat.keep_alive_s)
        if not chat.messages:
            return json_response(AnswerLines(chat).empty("load"))
        lines = _answer_lines(self._backend, chat, context_length)
        return LinesResponse(lines) if chat.stream else WholeResponse(lines, merge=merged_lines)


@dataclass(frozen=True)
class OllamaRoute:
    """One of Ollama's endpoints; call: from the API and a request to the response."""

    method: str
    path: str
    call: Callable[[OllamaApi, Request], Awaitable[Response]]
    summary: str


ENDPOINTS = (
    OllamaRoute("GET", "/", OllamaApi.root, "Is a server there?"),
    OllamaRoute("GET", "/api/version", OllamaApi.version, "The version"),
    OllamaRoute("GET", "/api/tags", OllamaApi.tags, "The models"),
    OllamaRoute("GET", "/api/ps", OllamaApi.ps, "The models in memory"),
    OllamaRoute("POST", "/api/show", OllamaApi.show, "One model"),
    OllamaRoute("POST", "/api/pull", OllamaApi.pull, "Get a model"),
    OllamaRoute("POST", "/api/chat", OllamaApi.chat, "Answer messages"),
    OllamaRoute("POST", "/api/generate", OllamaApi.generate, "Answer a prompt"),
)


def _checked(chat: ChatRequest, model: Model) -> ChatRequest:
    """The request with `think` settled, if the model can do what is asked."""
    check_options(chat.options)
    if not model.is_strict:
        return chat
    can_think = "thinking" in model.capabilities
    if chat.think and not can_think:
        raise OllamaError(f'"{chat.model}" does not support thinking', status=400)
    for asked, capability in ((chat.tools, "tools"), (chat.body.get("suffix"), "insert")):
        if asked and capability not in model.capabilities:
            # Here, and only here, Ollama names the model with its registry.
            raise OllamaError(f"registry.ollama.ai/library/{model.name} does not support {capability}", status=400)
    # A thinking model thinks unless it is told not to.
    return replace(chat, think=can_think and chat.think is not False and (chat.think or True))


def _count_tokens(chat: ChatRequest) -> int:
    """Counts the tokens of the prompt by a crude rule: four characters of text a token, and four tokens a message."""
    return sum(4 + len(str(message.get("content") or "")) // 4 for message in chat.messages)


async def _answer_lines(backend: Backend, chat: ChatRequest, context_length: int) -> AsyncGenerator[Any, None]:
    # A line is ready to send where it is sent alone, and a dict where it becomes part of one body.
    asked = _count_tokens(chat)
    if asked > context_length and not chat.truncate:
        raise OllamaError("the input length exceeds the context length", status=400)
    lines = AnswerLines(chat)
    async with aclosing(backend.chat(chat)) as chunks:
        async for chunk in chunks:
            if chunk.done_reason:
                prompt = min(asked, context_length) if chunk.prompt_tokens is None else chunk.prompt_tokens
                yield lines.done(chunk.done_reason, prompt_tokens=prompt, answer_tokens=chunk.answer_tokens or 0)
                return
            yield lines.line(chunk) if chat.stream else lines.chunk(chunk)
    raise OllamaError("the answer broke off")


async def _pull_lines(progress: AsyncGenerator[PullProgress, None]) -> AsyncGenerator[dict[str, Any], None]:
    async with aclosing(progress):
        async for step in progress:
            numbers = {"digest": step.digest, "total": step.total, "completed": step.completed}
            yield {"status": step.status, **{name: value for name, value in numbers.items() if value}}


def _name(body: dict[str, Any]) -> str:
    return str(body.get("model") or body.get("name") or "")


def _tag_json(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "model": model.name,
        "modified_at": model.modified_at,
        "size": model.size_bytes,
        "digest": model.digest,
        "details": DETAILS,
    }


def _show_json(model: Model) -> dict[str, Any]:
    return {
        "modelfile": f'# Modelfile generated by "ollama show"\nFROM {model.name}\n',
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": DETAILS,
        "model_info": {
            "general.architecture": FAMILY,
            "general.parameter_count": 0,
            f"{FAMILY}.context_length": model.context_length,
        },
        "tensors": [],
        "capabilities": list(model.capabilities),
        "modified_at": model.modified_at,
    }
