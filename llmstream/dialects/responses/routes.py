"""OpenAI's endpoints for responses."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from llmstream.dialects.openai.routes import OPENAI_ERRORS
from llmstream.dialects.responses.encoder import ResponsesEncoder
from llmstream.dialects.responses.kept import KeptResponses, Note, whole
from llmstream.dialects.responses.request import ResponseRequest
from llmstream.errors import InvalidRequest
from llmstream.http import schemas
from llmstream.http.asker import Asker
from llmstream.http.audience import CALLER
from llmstream.http.body import JsonBody
from llmstream.http.dialect import Dialect, Routes
from llmstream.http.errors import TEXT, object_schema
from llmstream.http.origins import check_destination
from llmstream.http.route import IdempotencyKey, LastEventId
from llmstream.http.service import Service
from llmstream.http.stream import all_events
from llmstream.runs.run import Run

Body = Annotated[ResponseRequest, Depends(JsonBody(ResponseRequest))]

_WHOLE = schemas.json_response("The response", {"type": "object"})
_ANSWER = schemas.json_or_stream("The response, or its events", {"type": "object"})
_DELETED = schemas.json_response("It is gone", object_schema(id=TEXT, object=TEXT, deleted={"type": "boolean"}))


def add_responses(router: APIRouter, service: Service, prefix: str = "/v1") -> None:
    """Adds `POST /v1/responses`, and to come back to a response, to stop and to delete it."""
    api = _Responses(service)
    routes = Routes(router, service, OPENAI_ERRORS, prefix=f"{prefix}/responses", tag="OpenAI")
    whole = {"response_class": JSONResponse, "responses": {200: _WHOLE}}
    routes.add("POST", "", api.create, "Ask, streamed or whole, or in the background", responses={200: _ANSWER})
    routes.add("GET", "/{id}", api.get, "A response as it is now, or its events", responses={200: _ANSWER})
    routes.add("POST", "/{id}/cancel", api.cancel, "Stop a response", **whole)
    deleting = {"response_class": JSONResponse, "responses": {200: _DELETED}}
    routes.add("DELETE", "/{id}", api.delete, "Stop and delete a response", **deleting)


class _Responses:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._kept = KeptResponses(service)

    async def create(
        self, request: Request, body: Body, key: IdempotencyKey = None, last_event_id: LastEventId = None
    ) -> Response:
        """A response, streamed or whole; leaving stops it, unless it is made in the background."""
        if last_event_id is not None:
            raise InvalidRequest("This stream has no event ids. Come back by GET /v1/responses/{id}?stream=true.")
        caller = request.scope[CALLER]
        thread = await self._thread(body, caller)
        run = await self._service.start(
            body.ask(await self._kept.items(body.references(), caller), thread),
            Asker.of(request, key, body),
            on_leave="continue" if body.background else "cancel",
            grace_s=None if body.background else 0,
        )
        note = Note(body.said(), thread)
        await self._kept.keep(run, caller, note)
        if body.stream:
            return self._service.follow(run, ResponsesEncoder(run.id, note.said), OPENAI_ERRORS)
        if body.background:
            return await self._now(run, note)
        answer = whole(run.id, note.said, await all_events(run, request))
        return JSONResponse(answer, headers={"x-run-id": run.id})

    async def get(
        self,
        request: Request,
        id: str,
        stream: bool = False,
        starting_after: Annotated[int | None, Query(ge=0, le=10**9)] = None,
    ) -> Response:
        """A response as it is now; or its events, those after `starting_after`, and then those to come."""
        check_destination(request.headers)
        run, note = await self._kept.find(id, request.scope[CALLER])
        if not stream:
            return await self._now(run, note)
        after = -1 if starting_after is None else starting_after
        return self._service.follow(run, ResponsesEncoder(run.id, note.said, after=after), OPENAI_ERRORS, hold=False)

    async def cancel(self, request: Request, id: str) -> Response:
        """Ends a response and frees the model; returns the response as it ended."""
        run, note = await self._kept.find(id, request.scope[CALLER])
        if await run.stop():
            async for _ in run.follow():
                pass
        return await self._now(run, note)

    async def delete(self, request: Request, id: str) -> dict[str, Any]:
        """Ends a response, and gives it to nobody any more."""
        await self._kept.delete(id, request.scope[CALLER])
        return {"id": id, "object": "response", "deleted": True}

    async def _thread(self, body: ResponseRequest, caller: str) -> str | None:
        """The thread to go on, or a new one; None where the chain keeps none."""
        before = body.previous_response_id
        if self._service.keeps_threads:
            return uuid.uuid4().hex if before is None else await self._kept.thread(before, caller)
        if before is not None:
            raise InvalidRequest(
                "previous_response_id needs a chain that keeps threads, and this one does not: send the whole "
                "conversation as `input`."
            )
        return None

    async def _now(self, run: Run, note: Note) -> Response:
        events, _ = await run.recorded()
        answer = whole(run.id, note.said, events)
        return JSONResponse(answer, headers={"x-run-id": run.id, "cache-control": "no-store"})


RESPONSES = Dialect("responses", add_responses, forms={"/v1/responses": OPENAI_ERRORS})
