"""The AI SDK's endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from llmstream.dialects.ai_sdk.chunks import RUN_HEADER, TAIL_HEADER, FromChunk, chunk_count
from llmstream.dialects.ai_sdk.encoder import HEADERS, RESUME_HEADER, AiSdkEncoder
from llmstream.dialects.ai_sdk.request import AiSdkRequest, Continued
from llmstream.errors import InvalidRequest, RunNotFound
from llmstream.events import Continued as Seam
from llmstream.events import Event, is_terminal
from llmstream.http import schemas
from llmstream.http.asker import Asker
from llmstream.http.audience import CALLER
from llmstream.http.body import JsonBody
from llmstream.http.chat_runs import Chats, read_note
from llmstream.http.dialect import Dialect, Routes
from llmstream.http.encoder import Encoder
from llmstream.http.errors import TEXT, ErrorForm
from llmstream.http.route import IdempotencyKey, LastEventId
from llmstream.http.service import Service
from llmstream.runs.log import PositionLost
from llmstream.runs.run import Run

# WorkflowChatTransport sends JSON as text; a page of another site is stopped by its origin.
Body = Annotated[AiSdkRequest, Depends(JsonBody(AiSdkRequest, also=("text/plain",)))]
StartIndex = Annotated[
    int | None,
    Query(alias="startIndex", ge=-(10**9), le=10**9, description="Begin with this chunk; below 0 counts from the end."),
]
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
        asker, continued = Asker.of(request, key, body), body.continued()
        note = msgspec.json.encode(continued).decode()
        if body.id is None:
            run = await self._service.start(body.ask(), asker, on_leave=body.on_leave)
        else:
            run = await self._chats.start(body.id, body.ask(), asker, note=note, on_leave=body.on_leave)
        if body.id is None or continued is not None:
            await self._chats.keep(asker.caller, run, note)
        return self._follow(body.id or run.id, run, _encoder(run, continued))

    async def resume(self, request: Request, chat: str, start_index: StartIndex = None) -> Response:
        """The run that goes on in a chat, from its start; 204 where none does.

        With `startIndex`, the last run of a chat or the run of this id, also an ended one, from that chunk on.
        """
        caller = request.scope[CALLER]
        if start_index is not None:
            run, note = await self._chats.last(caller, chat) or (await self._service.runs.get(chat, caller=caller), "")
            return await self._go_on(chat, run, _continued(note), start_index)
        found = await self._chats.active(caller, chat)
        if found is None:
            return Response(status_code=204)
        run, note = found
        events: Sequence[Event] = ()
        with suppress(RunNotFound, PositionLost):  # the stream tells it, in this protocol's way
            events, _ = await run.recorded()
        return self._follow(chat, run, _encoder(run, _continued(note), events), hold=False)

    async def _go_on(self, chat: str, run: Run, continued: Continued | None, start: int) -> Response:
        events, _ = await run.recorded()
        count = chunk_count(_encoder(run, continued, events), events)
        skipped = start if start >= 0 else max(0, count + start)
        if skipped > count:
            raise InvalidRequest(f"There are {count} chunks so far, and startIndex is {start}. Begin with 0.")
        is_ended = bool(events) and is_terminal(events[-1])
        # Who opens a page again has shown an answer that ended; who was cut asks by the run's id.
        if is_ended and (skipped == count or (start == 0 and chat != run.id)):
            return Response(status_code=204)
        encoder = FromChunk(_encoder(run, continued, events), skipped)
        return self._follow(chat, run, encoder, hold=False, headers={TAIL_HEADER: str(count - 1)})

    async def stop(self, request: Request, chat: str) -> Response:
        """Ends the run that goes on in a chat and frees the model: 202, or 204 where none did."""
        stopped = await self._chats.stop(request.scope[CALLER], chat, "stop")
        return Response(status_code=202 if stopped else 204)

    def _follow(
        self, chat: str, run: Run, encoder: Encoder, *, hold: bool = True, headers: Mapping[str, str] | None = None
    ) -> Response:
        headers = {**HEADERS, RESUME_HEADER: quote(chat, safe=""), RUN_HEADER: run.id, **(headers or {})}
        return self._service.follow(run, encoder, _ERRORS, hold=hold, headers=headers)


def _continued(note: str) -> Continued | None:
    return read_note(note, Continued) if note not in ("", "null") else None


def _encoder(run: Run, continued: Continued | None, events: Sequence[Event] = ()) -> AiSdkEncoder:
    """The encoder of a run; events: those so far, where it may go on with a cut one: then it is that one's message."""
    cut = next((event.of for event in events if isinstance(event, Seam)), None)
    message_id, calls = (continued.id, continued.calls) if continued else (cut, ())
    return AiSdkEncoder(run.id, message_id=message_id, calls=calls)


AI_SDK = Dialect(
    "ai_sdk",
    add_ai_sdk,
    forms={_PREFIX: _ERRORS},
    request_headers=("User-Agent", "X-Run-Id"),
    response_headers=(
        *("X-Vercel-AI-UI-Message-Stream", "X-Resumable-Stream-Id"),
        *("X-Workflow-Run-Id", "X-Workflow-Stream-Tail-Index"),
    ),
)
