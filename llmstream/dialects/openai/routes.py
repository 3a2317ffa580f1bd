"""OpenAI's endpoints."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from llmstream.dialects.openai.encoder import OpenAIEncoder, completion, error_body, model_body, models_body
from llmstream.dialects.openai.request import CompletionRequest
from llmstream.errors import (
    InvalidRequest,
    LlmstreamError,
    ModelNotFound,
)
from llmstream.http.errors import retry_headers, status_of
from llmstream.http.route import IdempotencyKey, LastEventId
from llmstream.http.security import CALLER
from llmstream.http.service import Service, fingerprint_of, guarded_route
from llmstream.http.stream import all_events
from llmstream.ollama.names import same_model
from llmstream.runs.limits import check_model


def openai_router(service: Service, prefix: str = "/v1", **options: Any) -> APIRouter:
    """`POST /v1/chat/completions` and `GET /v1/models`."""
    api = _OpenAI(service)
    router = APIRouter(prefix=prefix, route_class=guarded_route(service, openai_error), **options)
    router.add_api_route("/chat/completions", api.completions, methods=["POST"], response_class=Response)
    router.add_api_route("/models", api.models, methods=["GET"])
    router.add_api_route("/models/{model:path}", api.model, methods=["GET"])
    return router


def openai_error(error: LlmstreamError) -> Response:
    """An error as OpenAI's clients read it; they ask again after 409, 429 and 5xx unless told not to."""
    status = status_of(error)
    headers = retry_headers(error)
    if not error.retryable:
        headers["x-should-retry"] = "false"
    return JSONResponse(error_body(error.message, error.code, status), status, headers)


class _OpenAI:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def completions(
        self, request: Request, body: CompletionRequest, key: IdempotencyKey = None, last_event_id: LastEventId = None
    ) -> Response:
        """An answer, streamed or whole; a client of this dialect can't come back, so leaving stops it."""
        if last_event_id is not None:
            raise InvalidRequest("A completion can't be resumed. Ask again without Last-Event-ID.")
        ask = body.ask(own_chain=self._service.chain is not None)
        run = await self._service.start(
            ask, caller=request.scope[CALLER], key=key, fingerprint=fingerprint_of(body), grace_s=0
        )
        if body.stream:
            encoder = OpenAIEncoder(run.id, model=body.model, include_usage=body.include_usage)
            return self._service.follow(run, encoder, openai_error)
        events = await all_events(run, request)
        return JSONResponse(completion(run.id, body.model, events), headers={"x-run-id": run.id})

    async def models(self) -> dict[str, Any]:
        """The models a client may ask for."""
        return models_body(await self._service.models())

    async def model(self, model: str) -> dict[str, Any]:
        """One of them."""
        if self._service.chain is None:
            check_model(model, self._service.runs.settings)
        for name in await self._service.models():
            if same_model(name, model):
                return model_body(model)
        raise ModelNotFound(f"There is no model {model[:80]!r} here. GET /v1/models lists those that are.")
