"""AG-UI's endpoint."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from llmstream.dialects.agui.encoder import AguiEncoder
from llmstream.dialects.agui.request import AguiRequest
from llmstream.http import schemas
from llmstream.http.asker import Asker
from llmstream.http.body import JsonBody
from llmstream.http.chat_runs import Chats
from llmstream.http.dialect import Dialect, Routes
from llmstream.http.errors import NATIVE, ErrorForm
from llmstream.http.route import IdempotencyKey, LastEventId
from llmstream.http.service import Service

Body = Annotated[AguiRequest, Depends(JsonBody(AguiRequest))]

# As this server's own clients read it: AG-UI has no form for an error without a stream.
_ERRORS = ErrorForm(NATIVE.body, NATIVE.schema)
_STREAM = {200: schemas.stream("AG-UI's events", {"type": "object"}), **schemas.NOTHING}


def add_agui(router: APIRouter, service: Service) -> None:
    """Adds `POST /agui`."""
    routes = Routes(router, service, _ERRORS, tag="AG-UI")
    routes.add("POST", "/agui", _Agui(service).run, "Run the agent", responses=_STREAM)


class _Agui:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._threads = Chats(service, "agui")

    async def run(
        self, request: Request, body: Body, key: IdempotencyKey = None, last_event_id: LastEventId = None
    ) -> Response:
        """Answers the last message of a thread; with `Last-Event-ID`, goes on with the answer that this names."""
        asker = Asker.of(request, key, body)
        tools = {tool.name for tool in body.tools or ()}
        make = partial(AguiEncoder, thread_id=body.thread_id, agent_run_id=body.run_id, tools=tools, asked=body.sent())
        if last_event_id is not None:
            return await self._service.resume(last_event_id, asker.caller, make, _ERRORS)
        asked = await self._threads.asked(asker.caller, body.thread_id) if body.resume else []
        run = await self._threads.start(body.thread_id, body.ask(asked), asker)
        return self._service.follow(run, make(run.id, 0), _ERRORS)


AGUI = Dialect("agui", add_agui, forms={"/agui": _ERRORS})
