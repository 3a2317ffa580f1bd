"""The endpoints of this server's own clients: streams of typed events and of text, runs, models, health, metrics."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from llmstream.dialects.native.about import AboutServer
from llmstream.dialects.native.encoder import NativeEncoder
from llmstream.dialects.native.plain import PlainEncoder
from llmstream.dialects.native.request import QuestionRequest, RunRequest
from llmstream.dialects.native.runs import HINT, RunBody, RunRoutes, start_run
from llmstream.dialects.native.shadcn import PATH
from llmstream.http import errors, schemas
from llmstream.http.audience import CALLER
from llmstream.http.body import JsonBody
from llmstream.http.dialect import Dialect, Routes
from llmstream.http.origins import check_destination, check_starter
from llmstream.http.route import IdempotencyKey, LastEventId
from llmstream.http.service import MakeEncoder, Service
from llmstream.http.stream import HEADERS, all_events
from llmstream.runs.run import Snapshot
from llmstream.view.answer import whole_text

_MORE = "POST /stream takes model, messages, thinking, options and the rest."
QuestionBody = Annotated[QuestionRequest, Depends(JsonBody(QuestionRequest, hint=f"{HINT} {_MORE}"))]

_TYPED = {200: schemas.typed_stream(), **schemas.NOTHING}
_PLAIN = {200: schemas.plain_stream(), **schemas.NOTHING}
_STARTED = {201: {"headers": {"Location": {"description": "The run", "schema": {"type": "string"}}}}}
_RUN = {200: schemas.json_response("The run", Snapshot)}
_STOPPED = {202: {"description": "It is being stopped"}, 204: {"description": "It had ended"}}
_METRICS = {200: {"description": "Figures", "content": {"text/plain": {"schema": errors.TEXT}}}}


def add_native(router: APIRouter, service: Service) -> None:
    """Adds the endpoints to a router."""
    asking, runs, server = _Asking(service), RunRoutes(service), AboutServer(service)
    ask, run, about = (Routes(router, service, errors.NATIVE, tag=tag).add for tag in ("Ask", "Runs", "Server"))
    whole: dict[str, Any] = {"response_class": JSONResponse}
    ask("POST", "/stream", asking.stream, "Ask, and stream typed events", responses=_TYPED)
    ask("GET", "/stream-with-get", asking.stream_with_get, "Ask, and stream text, by GET", responses=_PLAIN)
    ask("HEAD", "/stream-with-get", asking.stream_with_get, "", include_in_schema=False)
    ask("POST", "/stream-with-post", asking.stream_with_post, "Ask, and stream text", responses=_PLAIN)
    ask("POST", "/nostream", asking.nostream, "Ask, and get the whole answer", **whole)
    started = {"status_code": 201, "responses": _STARTED, **whole}
    run("POST", "/runs", runs.start, "Start a run", **started)
    run("GET", "/runs/{run_id}", runs.get, "A run as it is now", responses=_RUN)
    run("GET", "/runs/{run_id}/events", runs.follow, "Follow a run, from any position", responses=_TYPED)
    run("HEAD", "/runs/{run_id}/events", runs.follow, "", include_in_schema=False)
    run("POST", "/runs/{run_id}/continue", runs.go_on, "Go on with an answer that was cut", **started)
    run("POST", "/runs/{run_id}/stop", runs.stop, "Stop a run", status_code=202, responses=_STOPPED)
    about("GET", "/models", server.models, "The models", **whole)
    about("GET", "/health", server.health, "Is Ollama there?", **whole)
    about("GET", PATH, server.hook, "The React hook, for `npx shadcn add`", **whole)
    about("GET", "/metrics", server.metrics, "Figures for Prometheus", responses=_METRICS)


class _Asking:
    """The endpoints that ask and answer in one request."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def stream(
        self, request: Request, body: RunBody, last_event_id: LastEventId = None, key: IdempotencyKey = None
    ) -> Response:
        """Starts a run and follows it: typed events. With `Last-Event-ID`, goes on with the run that this names."""
        return await self._stream(NativeEncoder, request, body, last_event_id, key)

    async def stream_with_post(
        self, request: Request, body: QuestionBody, last_event_id: LastEventId = None, key: IdempotencyKey = None
    ) -> Response:
        """Starts a run and follows it: plain text, one piece of the answer a message, `done` at the end."""
        asked = RunRequest(question=body.question)
        return await self._stream(PlainEncoder, request, asked, last_event_id, key)

    async def stream_with_get(
        self, request: Request, question: Annotated[str, Query(min_length=1)], last_event_id: LastEventId = None
    ) -> Response:
        """Does what `POST /stream-with-post` does, for a browser's EventSource."""
        check_destination(request.headers)
        if last_event_id is None:
            if request.method == "HEAD":
                return Response(headers=HEADERS)
            check_starter(request.scope, self._service.runs.limits.allowed_origins)
        return await self._stream(PlainEncoder, request, RunRequest(question=question), last_event_id, None)

    async def nostream(self, request: Request, body: QuestionBody) -> dict[str, str]:
        """The whole answer at once; leaving stops the run."""
        run = await start_run(self._service, request, RunRequest(question=body.question), None, grace_s=0)
        return {"answer": whole_text(await all_events(run, request))}

    async def _stream(
        self, make: MakeEncoder, request: Request, body: RunRequest, last_event_id: str | None, key: str | None
    ) -> Response:
        if last_event_id is not None:
            return await self._service.resume(last_event_id, request.scope[CALLER], make, errors.NATIVE)
        run = await start_run(self._service, request, body, key)
        return self._service.follow(run, make(run.id, 0), errors.NATIVE)


NATIVE = Dialect("native", add_native)
