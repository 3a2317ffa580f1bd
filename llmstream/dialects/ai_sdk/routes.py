"""The AI SDK's endpoints."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from llmstream.dialects.ai_sdk.encoder import HEADERS, RESUME_HEADER, AiSdkEncoder
from llmstream.dialects.ai_sdk.request import AiSdkRequest, Continued
from llmstream.errors import InvalidRequest
from llmstream.http import schemas
from llmstream.http.body import JsonBody
from llmstream.http.chats import Chats
from llmstream.http.dialect import Dialect, Routes
from llmstream.http.errors import TEXT, ErrorForm
from llmstream.http.route import IdempotencyKey, LastEventId
from llmstream.http.security import CALLER
from llmstream.http.service import Service, fingerprint_of
from llmstream.runs.run import Run

Body = Annotated[AiSdkRequest, Depends(JsonBody(AiSdkRequest))]
_PREFIX = "/api/chat"

# One sentence: the hook shows the body as it is.
_ERRORS = ErrorForm(lambda error, status: error.message.encode(), TEXT, media_type="text/plain")
_STREAM = {200: schemas.stream("A UI message stream: JSON in each message, and `[DONE]` in the last one")}


def add_ai_sdk(router: APIRouter, service: Service) -> None:
    """Adds `POST /api/chat`, and the routes to come back to a chat and to stop it."""
    api = _AiSdk(service)
    routes = Routes(router, service, _ERRORS, prefix=_PREFIX, tag="AI SDK")
    routes.add("POST", "", api.send, "Send a message, and stream the answer", responses=_STREAM)
    routes.add("GET", "/{chat}/stream", api.resume, "Come back to a chat", responses={**_STREAM, **schemas.NOTHING})
    routes.add("POST", "/{chat}/stop", api.stop, "Stop a chat's answer", status_code=202, responses=schemas.NOTHING)


class _AiSdk:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._chats = Chats(service, "ai_sdk")

    async def send(
        self, request: Request, body: Body, key: IdempotencyKey = None, last_event_id: LastEventId = None
    ) -> Response:
        """Answers the last message of a chat; a run that still goes on in that chat is replaced."""
        if last_event_id is not None:
            raise InvalidRequest("This stream has no event ids. Come back by GET /api/chat/{id}/stream.")
        run = await self._chats.start(
            body.id,
            body.ask(),
            caller=request.scope[CALLER],
            request=request,
            key=key,
            note=msgspec.json.encode(body.continued()).decode(),
            fingerprint=fingerprint_of(body),
            on_leave=body.on_leave,
        )
        return self._follow(body.id, run, body.continued())

    async def resume(self, request: Request, chat: str) -> Response:
        """The run that goes on in a chat, from its start; 204 where none does."""
        found = await self._chats.active(request.scope[CALLER], chat)
        if found is None:
            return Response(status_code=204)
        run, note = found
        return self._follow(chat, run, msgspec.json.decode(note, type=Continued | None), hold=False)

    async def stop(self, request: Request, chat: str) -> Response:
        """Ends the run that goes on in a chat and frees the model: 202, or 204 where none did."""
        stopped = await self._chats.stop(request.scope[CALLER], chat, "stop")
        return Response(status_code=202 if stopped else 204)

    def _follow(self, chat: str, run: Run, continued: Continued | None, *, hold: bool = True) -> Response:
        message_id, calls = (continued.id, continued.calls) if continued else (None, ())
        encoder = AiSdkEncoder(run.id, message_id=message_id, calls=calls)
        headers = {**HEADERS, RESUME_HEADER: quote(chat, safe="")}
        return self._service.follow(run, encoder, _ERRORS, hold=hold, headers=headers)


AI_SDK = Dialect(
    "ai_sdk",
    add_ai_sdk,
    forms={_PREFIX: _ERRORS},
    request_headers=("User-Agent", "X-Run-Id"),
    response_headers=("X-Vercel-AI-UI-Message-Stream", "X-Resumable-Stream-Id"),
)
