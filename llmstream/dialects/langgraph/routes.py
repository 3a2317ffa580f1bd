"""The endpoints of LangChain's Agent Streaming Protocol."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError

from llmstream.dialects.langgraph.following import ThreadStream
from llmstream.dialects.langgraph.frames import number_before
from llmstream.dialects.langgraph.request import Command, InputRespond, RunStart, StreamRequest
from llmstream.dialects.langgraph.thread import State, Threads
from llmstream.errors import CapabilityMissing, InvalidRequest, LlmstreamError, NotFound
from llmstream.events import Started
from llmstream.http import schemas
from llmstream.http.asker import Asker
from llmstream.http.audience import CALLER
from llmstream.http.body import JsonBody, unreadable
from llmstream.http.dialect import Dialect, Routes
from llmstream.http.errors import TEXT, ErrorForm, object_schema
from llmstream.http.route import IdempotencyKey
from llmstream.http.service import Service
from llmstream.runs.run import Run

CommandBody = Annotated[Command, Depends(JsonBody(Command))]
StreamBody = Annotated[StreamRequest, Depends(JsonBody(StreamRequest))]
Thread = Annotated[str, Path(max_length=200)]
M = TypeVar("M", bound=BaseModel)

_CODES = {
    "invalid_request": "invalid_argument", "capability_missing": "not_supported", "run_not_found": "no_such_run",
    "unauthorized": "permission_denied", "forbidden": "permission_denied",
}  # fmt: skip
# Of the protocol, but not of this server.
_UNSUPPORTED = frozenset((
    "subscription.subscribe", "subscription.unsubscribe", "subscription.reconnect", "agent.getTree", "input.inject",
    "state.get", "state.listCheckpoints", "state.fork",
))  # fmt: skip
_ERROR = object_schema(type=TEXT, error=TEXT, message=TEXT)
_ERRORS = ErrorForm(lambda error, _: msgspec.json.encode(_error(None, _code(error), error.message)), _ERROR)
_EVENTS = {200: schemas.stream("Events of the protocol; the stream stays open", {"type": "object"})}
_RESULT = {200: schemas.json_response("Its result, or why it was refused", {"type": "object"})}
_STATE = {200: schemas.json_response("The messages, and what is asked", {"type": "object"})}
_HISTORY = {200: schemas.json_response("That state alone", {"type": "array", "items": {"type": "object"}})}


def add_langgraph(router: APIRouter, service: Service) -> None:
    """Adds the paths under `/threads`."""
    api = _LangGraph(service)
    routes = Routes(router, service, _ERRORS, prefix="/threads/{thread}", tag="LangGraph")
    routes.add("POST", "/commands", api.command, "Start a run, or answer what one asked", responses=_RESULT)
    # The protocol's text calls it `/stream`, the clients the other.
    routes.add("POST", "/stream", api.stream, "Follow a thread", responses=_EVENTS)
    routes.add("POST", "/stream/events", api.stream, "Follow a thread", responses=_EVENTS)
    routes.add("GET", "/state", api.state, "A thread as it is", responses=_STATE)
    routes.add("POST", "/history", api.history, "A thread as it is, in a list", responses=_HISTORY)
    routes.add("POST", "/runs/{run}/cancel", api.cancel, "Stop a run", status_code=202)


class _LangGraph:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._threads = Threads(service)

    async def command(
        self, request: Request, thread: Thread, body: CommandBody, key: IdempotencyKey = None
    ) -> JSONResponse:
        """A command's result; what refuses it is in the body, where its client reads it."""
        asker = Asker.of(request, key, body, exclude={"id"})
        try:
            if body.method == "run.start":
                run = await self._threads.start(thread, _params(RunStart, body), asker)
            elif body.method == "input.respond":
                run = await self._threads.answer(thread, _params(InputRespond, body), asker)
            elif body.method in _UNSUPPORTED:
                raise CapabilityMissing(f"{body.method} is not supported here.")
            else:
                return JSONResponse(_error(body.id, "unknown_command", f"There is no command {body.method!r}."))
        except LlmstreamError as error:
            is_answer = body.method == "input.respond" and type(error) is InvalidRequest
            return JSONResponse(_error(body.id, "no_such_interrupt" if is_answer else _code(error), error.message))
        meta = {"applied_through_seq": await _number_before(run)}
        return JSONResponse({"type": "success", "id": body.id, "result": {"run_id": run.id}, "meta": meta})

    async def stream(self, request: Request, thread: Thread, body: StreamBody) -> Response:
        """The thread's last run from its start, and every run that follows."""
        stream = ThreadStream(self._threads, request.scope[CALLER], thread, body.wanted())
        return self._service.follow(stream, stream, _ERRORS, hold=False)

    async def state(self, request: Request, thread: Thread) -> JSONResponse:
        """The thread as it is; 404 for one that has not begun."""
        found = await self._threads.state(request.scope[CALLER], thread)
        if found is None:
            raise NotFound("There is no such thread; its first run begins it.")
        return JSONResponse(_told(thread, found))

    async def history(self, request: Request, thread: Thread) -> JSONResponse:
        """The thread as it is: earlier states are not told."""
        found = await self._threads.state(request.scope[CALLER], thread)
        return JSONResponse([] if found is None else [_told(thread, found)])

    async def cancel(
        self, request: Request, thread: Thread, run: str, wait: bool = False, action: str = "interrupt"
    ) -> Response:
        """Stops a run and frees the model; what it said stays."""
        if action != "interrupt":
            raise InvalidRequest("A run can't be rolled back here: give action=interrupt.")
        found = await self._service.runs.get(run, caller=request.scope[CALLER])
        await found.stop()
        if wait:
            async for _ in found.follow():
                pass
        return Response(status_code=202)


def _params(model: type[M], body: Command) -> M:
    try:
        return model.model_validate(body.params)
    except ValidationError as error:
        raise InvalidRequest(f"params.{unreadable(error)}") from None


async def _number_before(run: Run) -> int:
    async for event in run.follow():
        if isinstance(event, Started):
            return number_before(event)
    return 0


def _code(error: LlmstreamError) -> str:
    return _CODES.get(error.code, "unknown_error")


def _error(id: int | None, code: str, message: str) -> dict[str, Any]:
    return {"type": "error", "id": id, "error": code, "message": message}


def _told(thread: str, state: State) -> dict[str, Any]:
    """A state as LangGraph's clients read it: a `next` that is not empty says that a run goes on, or waits."""
    task = {"id": state.run_id, "name": "chain", "error": None, "interrupts": list(state.interrupts)}
    return {
        "values": {"messages": list(state.messages)},
        "next": ["chain"] if state.is_running or state.interrupts else [],
        "tasks": [task] if state.interrupts else [],
        "checkpoint": {"thread_id": thread, "checkpoint_ns": "", "checkpoint_id": state.run_id},
        "parent_checkpoint": None,
        "metadata": {},
        "created_at": None,
    }


LANGGRAPH = Dialect("langgraph", add_langgraph, forms={"/threads": _ERRORS})
