"""OpenAI's endpoints."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from llmstream.dialects.openai.encoder import OpenAIEncoder, completion, error_body, model_body
from llmstream.dialects.openai.request import CompletionRequest
from llmstream.errors import InvalidRequest, LlmstreamError, ModelNotFound, NotFound
from llmstream.http import schemas
from llmstream.http.asker import Asker
from llmstream.http.body import JsonBody
from llmstream.http.dialect import Dialect, Routes
from llmstream.http.errors import TEXT, ErrorForm, error_response, object_schema
from llmstream.http.route import IdempotencyKey, LastEventId
from llmstream.http.service import Service
from llmstream.http.stream import all_events
from llmstream.ollama.names import same_model
from llmstream.runs.input_limits import check_model

Body = Annotated[CompletionRequest, Depends(JsonBody(CompletionRequest))]


def add_openai(router: APIRouter, service: Service, prefix: str = "/v1") -> None:
    """Adds `POST /v1/chat/completions` and `GET /v1/models`."""
    api = _OpenAI(service)
    routes = Routes(router, service, OPENAI_ERRORS, prefix=prefix, tag="OpenAI")
    routes.add("POST", "/chat/completions", api.completions, "Ask, streamed or whole", responses={200: _ANSWER})
    routes.add("GET", "/models", api.models, "The models", response_class=JSONResponse)
    routes.add("GET", "/models/{model:path}", api.model, "One model", response_class=JSONResponse)
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        routes.add(method, "/{path:path}", _no_such_path, "", include_in_schema=False)


async def _no_such_path(request: Request) -> Response:
    error = NotFound(
        f"There is no {request.method} {request.url.path[-80:]} here. There are POST /v1/chat/completions, "
        "POST and GET /v1/responses, GET /v1/models and GET /v1/models/{model}."
    )
    return error_response(error, OPENAI_ERRORS)


def _error(error: LlmstreamError, status: int) -> bytes:
    return msgspec.json.encode(error_body(error.message, error.code, status))


# OpenAI's clients ask again after 409, 429 and 5xx unless told not to.
_NULLABLE = {"type": ["string", "null"]}
OPENAI_ERRORS = ErrorForm(
    _error,
    object_schema(error=object_schema(message=TEXT, type=TEXT, param=_NULLABLE, code=_NULLABLE)),
    says_retry=True,
)
_ANSWER = schemas.json_or_stream("One body, or chunks as server-sent events", None)  # the last of which is `[DONE]`


class _OpenAI:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def completions(
        self, request: Request, body: Body, key: IdempotencyKey = None, last_event_id: LastEventId = None
    ) -> Response:
        """An answer, streamed or whole; a client of this dialect can't come back, so leaving stops it."""
        if last_event_id is not None:
            raise InvalidRequest("A completion can't be resumed. Ask again without Last-Event-ID.")
        run = await self._service.start(body.ask(), Asker.of(request, key, body), grace_s=0)
        if body.stream:
            usage, calls = body.include_usage, body.max_calls
            encoder = OpenAIEncoder(run.id, model=body.model, include_usage=usage, max_calls=calls)
            return self._service.follow(run, encoder, OPENAI_ERRORS)
        answer = completion(run.id, body.model, await all_events(run, request), max_calls=body.max_calls)
        return JSONResponse(answer, headers={"x-run-id": run.id})

    async def models(self) -> dict[str, Any]:
        """The models a client may ask for."""
        return {"object": "list", "data": [model_body(name) for name in await self._service.models()]}

    async def model(self, model: str) -> dict[str, Any]:
        """One model."""
        if self._service.chain is None:
            check_model(model, self._service.runs.limits)
        for name in await self._service.models():
            if same_model(name, model):
                return model_body(model)
        raise ModelNotFound(f"There is no model {model[:80]!r} here. GET /v1/models lists those that are.")


_STAINLESS = (
    "Arch", "Async", "Custom-Poll-Interval", "Helper-Method", "Lang", "OS", "Package-Version", "Poll-Helper",
    "Read-Timeout", "Retry-Count", "Runtime", "Runtime-Version", "Timeout",
)  # fmt: skip
OPENAI = Dialect(
    "openai",
    add_openai,
    forms={"/v1": OPENAI_ERRORS},
    request_headers=("OpenAI-Organization", "OpenAI-Project", *(f"X-Stainless-{name}" for name in _STAINLESS)),
    response_headers=("X-Should-Retry",),
)
