"""The endpoints of this server's own clients: streams of typed events and of text, runs, models, health, metrics."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import Scope

from llmstream import __version__
from llmstream.demo_ollama.fallback import Fallback
from llmstream.dialects.native.encoder import NativeEncoder
from llmstream.dialects.native.plain import PlainEncoder
from llmstream.dialects.native.request import Failure, QuestionRequest, RunRequest
from llmstream.errors import Busy, LlmstreamError, error_from_code
from llmstream.events import Token
from llmstream.http import pages
from llmstream.http.encoder import OPEN, Encoder
from llmstream.http.errors import STATUS, error_fields
from llmstream.http.origins import check_destination, check_starter
from llmstream.http.route import IdempotencyKey, LastEventId
from llmstream.http.security import CALLER
from llmstream.http.stream import HEADERS, EventStream, all_events
from llmstream.ollama.models import Ollama
from llmstream.ollama.names import same_model
from llmstream.runs.limits import check, is_allowed
from llmstream.runs.metrics import CONTENT_TYPE
from llmstream.runs.owner import Runs
from llmstream.runs.run import Run

_EVENT_ID = re.compile(r"([0-9a-z]{1,64})-(\d{1,9})")
_TYPED = {200: {"description": "Typed server-sent events", "content": pages.typed_stream()}}
_PLAIN = {200: {"description": "Text as server-sent events", "content": pages.plain_stream()}}

_FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": what}
    for status, what in ((403, "Not allowed"), (404, "Not there"), (422, "Not understood"), (503, "Ask again later"))
}

MakeEncoder = Callable[[str, int], Encoder]


def add_native(router: APIRouter, api: Api) -> None:
    """Add the endpoints to a router."""

    def add(path: str, method: str, endpoint: Any, summary: str, tag: str, **options: Any) -> None:
        responses = {**_FAILURES, **options.pop("responses", {})}
        router.add_api_route(
            path, endpoint, methods=[method], summary=summary, tags=[tag], responses=responses, **options
        )

    typed = {"response_class": Response, "responses": _TYPED}
    plain = {"response_class": Response, "responses": _PLAIN}
    add("/stream", "POST", api.stream, "Ask, and stream typed events", "Ask", **typed)
    add("/stream-with-get", "GET", api.stream_with_get, "Ask, and stream text, by GET", "Ask", **plain)
    router.add_api_route("/stream-with-get", api.stream_with_get, methods=["HEAD"], include_in_schema=False)
    add("/stream-with-post", "POST", api.stream_with_post, "Ask, and stream text", "Ask", **plain)
    add("/nostream", "POST", api.nostream, "Ask, and get the whole answer", "Ask")
    add("/runs", "POST", api.start_run, "Start a run", "Runs", status_code=201)
    add("/runs/{run_id}", "GET", api.get_run, "A run as it is now", "Runs", name="get_run")
    add("/runs/{run_id}/events", "GET", api.follow_run, "Follow a run, from any position", "Runs", **typed)
    router.add_api_route("/runs/{run_id}/events", api.follow_run, methods=["HEAD"], include_in_schema=False)
    add("/runs/{run_id}/stop", "POST", api.stop_run, "Stop a run", "Runs", status_code=202)
    add("/models", "GET", api.models, "The models", "Server")
    add("/health", "GET", api.health, "Is Ollama there?", "Server")
    add("/metrics", "GET", api.metrics, "Figures for Prometheus", "Server", response_class=Response)


def error_response(error: Exception) -> Response:
    """An error as JSON with its status."""
    known = error if isinstance(error, LlmstreamError) else error_from_code("chain_failed", "The server failed.")
    status = STATUS.get(known.code, 500)
    headers = {"cache-control": "no-store"}
    if status in (429, 503):
        headers["retry-after"] = str(known.retry_after_s if isinstance(known, Busy) else 2)
    return JSONResponse(error_fields(known), status, headers)


class Api:
    """The endpoints over one `Runs` and one chain, which has a name."""

    def __init__(self, runs: Runs, chain: object, name: str) -> None:
        self._runs = runs
        self._chain = chain
        self._name = name

    async def stream(
        self, request: Request, body: RunRequest, last_event_id: LastEventId = None, key: IdempotencyKey = None
    ) -> Response:
        """Start a run and follow it: typed events. With `Last-Event-ID`, go on with the run it names."""
        if last_event_id is not None:
            return await self._resume(request, last_event_id, NativeEncoder)
        return self._follow(await self._start(request, body, key), NativeEncoder, 0, hold=True)

    async def stream_with_post(
        self, request: Request, body: QuestionRequest, last_event_id: LastEventId = None, key: IdempotencyKey = None
    ) -> Response:
        """Start a run and follow it: plain text, one piece of the answer a message, `done` at the end."""
        if last_event_id is not None:
            return await self._resume(request, last_event_id, PlainEncoder)
        run = await self._start(request, RunRequest(question=body.question), key)
        return self._follow(run, PlainEncoder, 0, hold=True)

    async def stream_with_get(
        self, request: Request, question: Annotated[str, Query(min_length=1)], last_event_id: LastEventId = None
    ) -> Response:
        """The same for a browser's EventSource."""
        check_destination(request.headers)
        if last_event_id is not None:
            return await self._resume(request, last_event_id, PlainEncoder)
        if request.method == "HEAD":
            return Response(headers=HEADERS)
        check_starter(request.scope, self._runs.settings.allowed_origins)
        run = await self._start(request, RunRequest(question=question), None)
        return self._follow(run, PlainEncoder, 0, hold=True)

    async def nostream(self, request: Request, body: QuestionRequest) -> dict[str, str]:
        """The whole answer at once; leaving stops it."""
        run = await self._start(request, RunRequest(question=body.question), None, grace_s=0)
        pieces = [event.text for event in await all_events(run, request) if isinstance(event, Token)]
        return {"answer": "".join(pieces)}

    async def start_run(
        self, request: Request, response: Response, body: RunRequest, key: IdempotencyKey = None
    ) -> dict[str, str]:
        """Start a run; follow it at `events_url`. The same `Idempotency-Key` or `request_id` starts at most one."""
        run = await self._start(request, body, key)
        base = f"{_seen_path(request.scope)}/{run.id}"
        response.headers["location"] = base
        return {"run_id": run.id, "events_url": f"{base}/events", "stop_url": f"{base}/stop"}

    async def get_run(self, request: Request, run_id: str) -> Response:
        """A run as it is now: its state, the text so far, usage and timings."""
        snapshot = await (await self._get(request, run_id)).snapshot()
        return JSONResponse(msgspec.to_builtins(snapshot), headers={"cache-control": "no-store"})

    async def follow_run(
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
        if last_event_id is None:
            return await self._continue(await self._get(request, run_id), after or 0, NativeEncoder)
        match = _EVENT_ID.fullmatch(last_event_id)
        if match is None or match[1] != run_id:
            await self._get(request, run_id)
            return _lost(NativeEncoder(run_id), "invalid" if match is None else "other_run")
        return await self._continue(await self._get(request, run_id), int(match[2]), NativeEncoder)

    async def stop_run(self, request: Request, run_id: str) -> Response:
        """End a run and free the model: 202, or 204 where it had ended."""
        stopped = await (await self._get(request, run_id)).stop()
        return Response(status_code=202 if stopped else 204)

    async def models(self) -> dict[str, Any]:
        """The models a client may ask for, and the one that answers by default."""
        if self._chain is not None:
            return {"models": [], "default": self._name}
        settings = self._runs.settings
        ollama = Ollama.of(settings)
        models = [model for model in await ollama.models() if is_allowed(model.name, settings)]
        default = settings.model or (await ollama.choose_model() if models else None)
        shown = [{"name": each.name, "size": each.size, "loaded": each.loaded} for each in models]
        return {
            "models": shown,
            "default": next((m.name for m in models if same_model(m.name, default or "")), default),
        }

    async def health(self, request: Request) -> dict[str, Any]:
        """Whether Ollama can be reached, and which model answers; a chain of one's own may need no Ollama."""
        if self._chain is not None:
            return {"status": "ok", "version": __version__, "demo": False, "model": self._name}
        settings = self._runs.settings
        ollama = Ollama.of(settings)
        fallback: Fallback | None = getattr(request.app.state, "fallback", None)
        health: dict[str, Any] = {"status": "ok", "version": __version__, "demo": bool(fallback and fallback.active)}
        if fallback and fallback.notice:
            health["notice"] = fallback.notice
        try:
            health["ollama"] = {"reachable": True, "version": await ollama.version()}
            health["model"] = settings.model or await ollama.choose_model()
        except LlmstreamError as error:
            health |= {"status": "degraded", "model": settings.model, "error": error_fields(error)}
            health.setdefault("ollama", {"reachable": False})
        return health

    async def metrics(self) -> Response:
        """Figures for Prometheus."""
        return Response(self._runs.metrics.text(), media_type=CONTENT_TYPE)

    async def _start(self, request: Request, body: RunRequest, key: str | None, grace_s: float | None = None) -> Run:
        settings = self._runs.settings
        check(settings, texts=body.texts(), model=body.model, options=body.options or ())
        arguments = body.arguments()
        if self._chain is not None:
            arguments["chain"] = self._chain
        return await self._runs.start(
            body.input(),
            caller=request.scope[CALLER],
            request_key=key or body.request_id,
            fingerprint=body.fingerprint() if key or body.request_id else "",
            on_leave=body.on_leave,
            grace_s=grace_s,
            **arguments,
        )

    async def _get(self, request: Request, run_id: str) -> Run:
        return await self._runs.get(run_id, caller=request.scope[CALLER])

    async def _resume(self, request: Request, last_event_id: str, encoder: MakeEncoder) -> Response:
        match = _EVENT_ID.fullmatch(last_event_id)
        if match is None:
            return _lost(encoder("", 0), "invalid")
        return await self._continue(await self._get(request, match[1]), int(match[2]), encoder)

    async def _continue(self, run: Run, after: int, encoder: MakeEncoder) -> Response:
        ended, last = await run.position()
        if after > last:  # an encoder that is fed from the first event would not notice
            return _lost(encoder(run.id, after), "future")
        if ended and after == last:
            return Response(status_code=204)
        return self._follow(run, encoder, after, hold=False)

    def _follow(self, run: Run, encoder: MakeEncoder, after: int, *, hold: bool) -> Response:
        settings = self._runs.settings
        hold_s = settings.hold_s if hold else 0
        return EventStream(run, encoder(run.id, after), settings=settings, hold_s=hold_s, on_error=error_response)


def _seen_path(scope: Scope) -> str:
    """The path of a request as its client sees it: a proxy's prefix is in `root_path`, and not always in `path`."""
    root, path = scope.get("root_path", "").rstrip("/"), scope["path"]
    return quote(path if path.startswith(f"{root}/") else root + path)


def _lost(encoder: Encoder, reason: str) -> Response:
    return Response(OPEN + encoder.lost(reason), headers=HEADERS)
