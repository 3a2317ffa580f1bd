"""The endpoints for runs by their id: start one, look at it, follow it, stop it, go on with one that was cut."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import msgspec
from fastapi import Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import Scope

from llmstream.dialects.native.encoder import NativeEncoder
from llmstream.dialects.native.request import RunRequest
from llmstream.http import errors
from llmstream.http.asker import Asker
from llmstream.http.audience import CALLER
from llmstream.http.body import JsonBody
from llmstream.http.origins import check_destination
from llmstream.http.route import IdempotencyKey, LastEventId
from llmstream.http.service import Service
from llmstream.http.stream import HEADERS
from llmstream.runs.run import Run

HINT = 'Expected a JSON body, for example {"question": "…"}.'
RunBody = Annotated[RunRequest, Depends(JsonBody(RunRequest, hint=HINT))]


async def start_run(
    service: Service, request: Request, body: RunRequest, key: str | None, *, grace_s: float | None = None
) -> Run:
    """Starts the run that a request asks for."""
    asker = Asker.of(request, key or body.request_id, body, exclude={"request_id"})
    return await service.start(body.ask(), asker, on_leave=body.on_leave, grace_s=grace_s)


class RunRoutes:
    """The endpoints for runs by their id."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def start(
        self, request: Request, response: Response, body: RunBody, key: IdempotencyKey = None
    ) -> dict[str, str]:
        """Starts a run, followed at `events_url`. The same `Idempotency-Key` or `request_id` starts at most one."""
        run = await start_run(self._service, request, body, key)
        return _told(run, _seen_path(request.scope), response)

    async def go_on(
        self, request: Request, response: Response, run_id: str, key: IdempotencyKey = None
    ) -> dict[str, str]:
        """Starts a run that begins with what this one said, which was cut, and goes on from there."""
        run = await self._service.continue_run(run_id, Asker.of(request, key))
        return _told(run, _seen_path(request.scope).removesuffix(f"/{run_id}/continue"), response)

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
            return await self._service.resume(last_event_id, caller, NativeEncoder, errors.NATIVE, run_id=run_id)
        return await self._service.go_on(await self._find(request, run_id), after or 0, NativeEncoder, errors.NATIVE)

    async def stop(self, request: Request, run_id: str) -> Response:
        """Ends a run and frees the model: 202, or 204 where it had ended."""
        stopped = await (await self._find(request, run_id)).stop()
        return Response(status_code=202 if stopped else 204)

    async def _find(self, request: Request, run_id: str) -> Run:
        return await self._service.runs.get(run_id, caller=request.scope[CALLER])


def _told(run: Run, base: str, response: Response) -> dict[str, str]:
    response.headers["location"] = base = f"{base}/{run.id}"
    return {"run_id": run.id, "events_url": f"{base}/events", "stop_url": f"{base}/stop"}


def _seen_path(scope: Scope) -> str:
    """The path of a request as its client sees it: a proxy's prefix is in `root_path`, and not always in `path`."""
    root, path = scope.get("root_path", "").rstrip("/"), scope["path"]
    return quote(path if path.startswith(f"{root}/") else root + path)
