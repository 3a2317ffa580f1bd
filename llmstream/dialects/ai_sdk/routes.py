"""The AI SDK's endpoints."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from llmstream.dialects.ai_sdk.encoder import HEADERS, RESUME_HEADER, AiSdkEncoder
from llmstream.dialects.ai_sdk.request import AiSdkRequest
from llmstream.errors import (
    InvalidRequest,
    LlmstreamError,
)
from llmstream.http.errors import retry_headers, status_of
from llmstream.http.route import IdempotencyKey, LastEventId
from llmstream.http.security import CALLER
from llmstream.http.service import Chats, Service, fingerprint_of, guarded_route
from llmstream.runs.run import Run


def ai_sdk_router(service: Service) -> APIRouter:
    """`POST /api/chat`, and to come back to a chat and to stop it."""
    api = _AiSdk(service)
    router = APIRouter(prefix="/api/chat", route_class=guarded_route(service, ai_sdk_error))
    router.add_api_route("", api.send, methods=["POST"], response_class=Response)
    router.add_api_route("/{chat}/stream", api.resume, methods=["GET"], response_class=Response)
    router.add_api_route("/{chat}/stop", api.stop, methods=["POST"], response_class=Response)
    return router


def ai_sdk_error(error: LlmstreamError) -> Response:
    """An error as one sentence: the hook shows the body as it is."""
    return Response(error.message, status_of(error), retry_headers(error), "text/plain")


class _AiSdk:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._chats = Chats(service)

    async def send(
        self, request: Request, body: AiSdkRequest, key: IdempotencyKey = None, last_event_id: LastEventId = None
    ) -> Response:
        """Answer the last message of a chat; what still goes on in that chat is replaced."""
        if last_event_id is not None:
            raise InvalidRequest("This stream has no event ids. Come back by GET /api/chat/{id}/stream.")
        run = await self._chats.start(
            body.id,
            body.ask(),
            caller=request.scope[CALLER],
            key=key,
            note=body.continued_id(),
            fingerprint=fingerprint_of(body),
            on_leave=body.on_leave,
        )
        return self._follow(body.id, run, body.continued_id())

    async def resume(self, request: Request, chat: str) -> Response:
        """What goes on in a chat, from its start; 204 where nothing does."""
        found = await self._chats.active(request.scope[CALLER], chat)
        return Response(status_code=204) if found is None else self._follow(chat, *found, hold_s=0)

    async def stop(self, request: Request, chat: str) -> Response:
        """End what goes on in a chat and free the model: 202, or 204 where nothing did."""
        stopped = await self._chats.stop(request.scope[CALLER], chat, "stop")
        return Response(status_code=202 if stopped else 204)

    def _follow(self, chat: str, run: Run, message_id: str | None, **options: Any) -> Response:
        encoder = AiSdkEncoder(run.id, message_id=message_id)
        headers = {**HEADERS, RESUME_HEADER: quote(chat, safe="")}
        return self._service.follow(run, encoder, ai_sdk_error, headers=headers, **options)
