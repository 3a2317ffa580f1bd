"""The endpoints of this server's own clients: streams of typed events and of text, runs, models, health, metrics."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import Scope

from llmstream.dialects.native.about import AboutServer
from llmstream.dialects.native.encoder import NativeEncoder
from llmstream.dialects.native.plain import PlainEncoder
from llmstream.dialects.native.registry import PATH
from llmstream.dialects.native.request import QuestionRequest, RunRequest
from llmstream.http import errors, schemas
from llmstream.http.audience import CALLER
from llmstream.http.body import JsonBody
from llmstream.http.dialect import Dialect, Routes
from llmstream.http.origins import check_destination, check_starter
from llmstream.http.route import IdempotencyKey, LastEventId
from llmstream.http.service import Service, fingerprint_of
from llmstream.http.stream import HEADERS, all_events
from llmstream.runs.run import Run, Snapshot
from llmstream.view.answer import whole_text

_HINT = 'Expected a JSON body, for example {"question": "…"}.'
RunBody = Annotated[RunRequest, Depends(JsonBody(RunRequest, hint=_HINT))]
QuestionBody = Annotated[QuestionRequest, Depends(JsonBody(QuestionRequest, hint=_HINT))]

_TYPED = {200: schemas.typed_stream(), **schemas.NOTHING}
_PLAIN = {200: schemas.plain_stream(), **schemas.NOTHING}
_STARTED = {201: {"headers": {"Location": {"description": "The run", "schema": {"type": "string"}}}}}
_RUN = {200: schemas.json_response("The run", Snapshot)}
_STOPPED = {202: {"description": "It is being stopped"}, 204: {"description": "It had ended"}}
_METRICS = {200: {"description": "Figures", "content": {"text/plain": {"schema": errors.TEXT}}}}


def add_native(router: APIRouter, service: Service) -> None:
    """Adds the endpoints to a router."""
    asking, runs, server = _Asking(service), _Runs(service), AboutServer(service)
    routes = Routes(router, service, errors.NATIVE)

    def add(method: str, path: str, endpoint: Any, summary: str, tag: str, **options: Any) -> None:
        routes.add(method, path, endpoint, summary, tags=[tag], **options)

    whole = {"response_class": JSONResponse}
    add("POST", "/stream", asking.stream, "Ask, and stream typed events", "Ask", responses=_TYPED)
    add("GET", "/stream-with-get", asking.stream_with_get, "Ask, and stream text, by GET", "Ask", responses=_PLAIN)
    routes.add("HEAD", "/stream-with-get", asking.stream_with_get, "", include_in_schema=False)
    add("POST", "/stream-with-post", asking.stream_with_post, "Ask, and stream text", "Ask", responses=_PLAIN)
    add("POST", "/nostream", asking.nostream, "Ask, and get the whole answer", "Ask", **whole)
    add("POST", "/runs", runs.start, "Start a run", "Runs", status_code=201, responses=_STARTED, **whole)
    add("GET", "/runs/{run_id}", runs.get, "A run as it is now", "Runs", responses=_RUN)
    add(
        "GET",
        "/runs/{run_id}/events",
        runs.follow,
        "Follow a run, from any position",
        "Runs",
        responses=_TYPED,
    )
    routes.add("HEAD", "/runs/{run_id}/events", runs.follow, "", include_in_schema=False)
    add("POST", "/runs/{run_id}/stop", runs.stop, "Stop a run", "Runs", status_code=202, responses=_STOPPED)
    add("GET", "/models", server.models, "The models", "Server", **whole)
    add("GET", "/health", server.health, "Is Ollama there?", "Server", **whole)
    add("GET", PATH, server.hook, "The React hook, for `npx shadcn add`", "Server", **whole)
    add("GET", "/metrics", server.metrics, "Figures for Prometheus", "Server", responses=_METRICS)


async def _start(
    service: Service, request: Request, body: RunRequest, key: str | None, *, grace_s: float | None = None
) -> Run:
    key = key or body.request_id
    return await service.start(
        body.ask(),
        caller=request.scope[CALLER],
        request=request,
        key=key,
        fingerprint=fingerprint_of(body, exclude={"request_id"}) if key else "",
        on_leave=body.on_leave,
        grace_s=grace_s,
    )


class _Asking:
    """The endpoints that ask and answer in one request."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def stream(
        self, request: Request, body: RunBody, last_event_id: LastEventId = None, key: IdempotencyKey = None
    ) -> Response:
        """Starts a run and follows it: typed events. With `Last-Event-ID`, goes on with the run that this names."""
        if last_event_id is not None:
            return await self._service.resume(last_event_id, request.scope[CALLER], NativeEncoder, errors.NATIVE)
        run = await _start(self._service, request, body, key)
        return self._service.follow(run, NativeEncoder(run.id), errors.NATIVE)

    async def stream_with_post(
        self, request: Request, body: QuestionBody, last_event_id: LastEventId = None, key: IdempotencyKey = None
    ) -> Response:
        """Starts a run and follows it: plain text, one piece of the answer a message, `done` at the end."""
        return await self._plain(request, body.question, last_event_id, key)

    async def stream_with_get(
        self, request: Request, question: Annotated[str, Query(min_length=1)], last_event_id: LastEventId = None
    ) -> Response:
        """Does what `POST /stream-with-post` does, for a browser's EventSource."""
        check_destination(request.headers)
        if last_event_id is None:
            if request.method == "HEAD":
                return Response(headers=HEADERS)
            check_starter(request.scope, self._service.settings.allowed_origins)
        return await self._plain(request, question, last_event_id, None)

    async def nostream(self, request: Request, body: QuestionBody) -> dict[str, str]:
        """The whole answer at once; leaving stops the run."""
        run = await _start(self._service, request, RunRequest(question=body.question), None, grace_s=0)
        return {"answer": whole_text(await all_events(run, request))}

    async def _plain(self, request: Request, question: str, last_event_id: str | None, key: str | None) -> Response:
        if last_event_id is not None:
            return await self._service.resume(last_event_id, request.scope[CALLER], PlainEncoder, errors.NATIVE)
        run = await _start(self._service, request, RunRequest(question=question), key)
        return self._service.follow(run, PlainEncoder(run.id), errors.NATIVE)


class _Runs:
    """The endpoints for runs by their id."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def start(
        self, request: Request, response: Response, body: RunBody, key: IdempotencyKey = None
    ) -> dict[str, str]:
        """Starts a run, followed at `events_url`. The same `Idempotency-Key` or `request_id` starts at most one."""
        run = await _start(self._service, request, body, key)
        base = f"{_seen_path(request.scope)}/{run.id}"
        response.headers["location"] = base
        return {"run_id": run.id, "events_url": f"{base}/events", "stop_url": f"{base}/stop"}

    async def get(self, request: Request, run_id: str) -> Response:
        """A run as it is now: its state, the text so far, usage and timings."""
        snapshot = await (await self._find(request, run_id)).snapshot()
        return JSONResponse(msgspec.to_builtins(snapshot), headers={"cache-control": "no-store"})

    async def follow(
        self,
        request: Request,
        run_id: str,
        last_event_id: LastEventId = None,
        after: Annotated[int | None, Query(ge=0, le=10**9)] = None,
    ) -> Response:
        """A run's events: from the first, after `Last-Event-ID`, or after `?after=`; 204 once there is nothing more."""
        check_destination(request.headers)
        if request.method == "HEAD":
            return Response(headers=HEADERS)
        if last_event_id is not None:
            caller = request.scope[CALLER]
            return await self._service.resume_run(run_id, last_event_id, caller, NativeEncoder, errors.NATIVE)
        return await self._service.go_on(await self._find(request, run_id), after or 0, NativeEncoder, errors.NATIVE)

    async def stop(self, request: Request, run_id: str) -> Response:
        """Ends a run and frees the model: 202, or 204 where it had ended."""
        stopped = await (await self._find(request, run_id)).stop()
        return Response(status_code=202 if stopped else 204)

    async def _find(self, request: Request, run_id: str) -> Run:
        return await self._service.runs.get(run_id, caller=request.scope[CALLER])


def _seen_path(scope: Scope) -> str:
    """The path of a request as its client sees it: a proxy's prefix is in `root_path`, and not always in `path`."""
    root, path = scope.get("root_path", "").rstrip("/"), scope["path"]
    return quote(path if path.startswith(f"{root}/") else root + path)


NATIVE = Dialect("native", add_native)
