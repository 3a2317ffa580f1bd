"""AG-UI's endpoint."""

from __future__ import annotations

import re

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from llmstream.dialects.agui.encoder import AguiEncoder
from llmstream.dialects.agui.request import AguiRequest
from llmstream.errors import LlmstreamError
from llmstream.http.encoder import OPEN
from llmstream.http.errors import error_fields, retry_headers, status_of
from llmstream.http.route import IdempotencyKey, LastEventId
from llmstream.http.security import CALLER
from llmstream.http.service import Chats, Service, fingerprint_of, guarded_route
from llmstream.http.stream import HEADERS

_EVENT_ID = re.compile(r"([0-9a-z]{1,64})-(\d{1,9})")


def agui_router(service: Service) -> APIRouter:
    """`POST /agui`."""
    api = _Agui(service)
    router = APIRouter(route_class=guarded_route(service, agui_error))
    router.add_api_route("/agui", api.run, methods=["POST"], response_class=Response)
    return router


def agui_error(error: LlmstreamError) -> Response:
    """An error as this server's own clients read it: AG-UI has no form for one without a stream."""
    return JSONResponse(error_fields(error), status_of(error), retry_headers(error))


class _Agui:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._threads = Chats(service)

    async def run(
        self, request: Request, body: AguiRequest, key: IdempotencyKey = None, last_event_id: LastEventId = None
    ) -> Response:
        """Answer the last message of a thread; with `Last-Event-ID`, go on with the answer it names."""
        if last_event_id is not None:
            return await self._resume(request, body, last_event_id)
        run = await self._threads.start(
            body.thread_id, body.ask(), caller=request.scope[CALLER], key=key, fingerprint=fingerprint_of(body)
        )
        return self._service.follow(run, self._encoder(run.id, 0, body), agui_error)

    async def _resume(self, request: Request, body: AguiRequest, last_event_id: str) -> Response:
        match = _EVENT_ID.fullmatch(last_event_id)
        if match is None:
            return Response(OPEN + self._encoder("", 0, body).lost("invalid"), headers=HEADERS)
        run = await self._service.runs.get(match[1], caller=request.scope[CALLER])
        after = int(match[2])
        encoder = self._encoder(run.id, after, body)
        ended, last = await run.position()
        if after > last:
            return Response(OPEN + encoder.lost("future"), headers=HEADERS)
        if ended and after == last:
            return Response(status_code=204)
        return self._service.follow(run, encoder, agui_error, hold_s=0)

    def _encoder(self, run_id: str, after: int, body: AguiRequest) -> AguiEncoder:
        tools = {tool.name for tool in body.tools or ()}
        return AguiEncoder(run_id, after, thread_id=body.thread_id, agent_run_id=body.run_id, tools=tools)
