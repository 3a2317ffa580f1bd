"""Anthropic's endpoints."""

from __future__ import annotations

import json
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from llmstream.dialects.anthropic.encoder import MessagesEncoder
from llmstream.dialects.anthropic.message import error_body, message_body
from llmstream.dialects.anthropic.request import MessagesRequest, Prompt
from llmstream.errors import InvalidRequest, LlmstreamError
from llmstream.http import schemas
from llmstream.http.asker import Asker
from llmstream.http.body import JsonBody
from llmstream.http.dialect import Dialect, Routes
from llmstream.http.errors import TEXT, ErrorForm, object_schema
from llmstream.http.route import IdempotencyKey, LastEventId
from llmstream.http.service import Service
from llmstream.http.stream import all_events

Body = Annotated[MessagesRequest, Depends(JsonBody(MessagesRequest))]
Counted = Annotated[Prompt, Depends(JsonBody(Prompt))]

# Models divide text differently, and none tells its division; of English and code most make a token of so many bytes.
_BYTES_PER_TOKEN = 4


def _error(error: LlmstreamError, status: int) -> bytes:
    return msgspec.json.encode(error_body(error.message, status))


# Anthropic's clients ask again after 409, 429 and 5xx unless told not to.
_ERRORS = ErrorForm(_error, object_schema(type=TEXT, error=object_schema(type=TEXT, message=TEXT)), says_retry=True)
_ANSWER = schemas.json_or_stream("One message, or its blocks as server-sent events", {"type": "object"})
_COUNT = schemas.json_response("About how many tokens it takes", object_schema(input_tokens={"type": "integer"}))


def add_anthropic(router: APIRouter, service: Service) -> None:
    """Adds `POST /v1/messages` and the routes that its clients ask beside it."""
    api = _Anthropic(service)
    routes = Routes(router, service, _ERRORS, tag="Anthropic")
    routes.add("POST", "/v1/messages", api.messages, "Ask, streamed or whole", responses={200: _ANSWER})
    count = {"response_class": JSONResponse, "responses": {200: _COUNT}}
    routes.add("POST", "/v1/messages/count_tokens", api.count, "Count tokens, roughly", **count)
    routes.add("POST", "/api/event_logging/batch", _nothing, "Claude Code's telemetry, thrown away", status_code=204)


async def _nothing() -> Response:
    return Response(status_code=204)


class _Anthropic:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def messages(
        self, request: Request, body: Body, key: IdempotencyKey = None, last_event_id: LastEventId = None
    ) -> Response:
        """An answer, streamed or whole; a client of this dialect can't come back, so leaving stops it."""
        if last_event_id is not None:
            raise InvalidRequest("A message can't be resumed. Ask again without Last-Event-ID.")
        run = await self._service.start(body.ask(), Asker.of(request, key, body), grace_s=0)
        if body.stream:
            encoder = MessagesEncoder(run.id, model=body.model, max_calls=body.max_calls)
            return self._service.follow(run, encoder, _ERRORS)
        events = await all_events(run, request)
        answer = message_body(run.id, body.model, events, max_calls=body.max_calls)
        return JSONResponse(answer, headers={"x-run-id": run.id})

    async def count(self, body: Counted) -> dict[str, int]:
        """An estimate: no model tells how it divides a text before it has read it."""
        tools, _ = body.chosen_tools()
        size = len(json.dumps([*body.read(), *tools], ensure_ascii=False).encode())
        return {"input_tokens": max(size // _BYTES_PER_TOKEN, 1)}


ANTHROPIC = Dialect(
    "anthropic",
    add_anthropic,
    forms={"/v1/messages": _ERRORS, "/api/event_logging": _ERRORS},
    request_headers=("X-Api-Key", "Anthropic-Version", "Anthropic-Beta", "Anthropic-Dangerous-Direct-Browser-Access"),
)
