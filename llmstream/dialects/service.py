"""What the endpoints of all dialects share: the chain as each of them asks it, its chats, routes that answer errors."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Annotated, Any

from fastapi import Header, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel

from llmstream.core import Arguments
from llmstream.errors import (
    Busy,
    InvalidRequest,
    LlmstreamError,
    ModelNotFound,
    RunCancelled,
    RunNotFound,
    error_from_code,
)
from llmstream.event_stream import EventStream
from llmstream.events import Cancelled, CancelledBy, Event, Failed
from llmstream.ollama import Ollama, same_model
from llmstream.protocols.encoder import Encoder
from llmstream.protocols.requests_ask import Ask
from llmstream.request_models import RunRequest, check, check_model
from llmstream.runs.owner import OnLeave, Run, Runs
from llmstream.security import CALLER, STATUS, Identify, check_origin, identify_caller, limit_body
from llmstream.settings import Settings

OnError = Callable[[LlmstreamError], Response]
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID")]


class Service:
    """The one chain, or the default one with its models, as every dialect asks it.

    name: what a chain is called where a client names a model.
    """

    def __init__(self, runs: Runs, chain: object, *, name: str, identify: Identify | None) -> None:
        self.runs = runs
        self.chain = chain
        self.name = name
        self.identify = identify

    async def models(self) -> list[str]:
        """What a client may ask for."""
        if self.chain is not None:
            return [self.name]
        settings = self.runs.settings
        return [model.name for model in await Ollama.of(settings).models() if _allowed(model.name, settings)]

    async def admit(self, request: Request) -> Request:
        """The request of somebody who may ask, also in an app without our doors."""
        scope = request.scope
        if CALLER in scope and self.identify is None:  # our doors are in front
            return request
        settings = self.runs.settings
        check_origin(scope, settings.allowed_origins)
        scope[CALLER] = await identify_caller(scope, self.identify)
        return Request(scope, await limit_body(scope, request.receive, settings.max_body_bytes))

    async def start(
        self,
        ask: Ask,
        *,
        caller: str,
        key: str | None = None,
        fingerprint: str = "",
        grace_s: float | None = None,
        on_leave: OnLeave = "cancel",
    ) -> Run:
        """Start a run for what is asked; raises what makes it impossible."""
        question = RunRequest(question=ask.last_text or None, model=self._checked(ask.model), options=dict(ask.options))
        check(question, self.runs.settings)
        arguments: Arguments = {
            "model": question.model,
            "thinking": ask.thinking,
            "options": ask.options,
            "tools": ask.tools,
            "format": ask.format,
        }
        if self.chain is not None:
            arguments["chain"] = self.chain
        return await self.runs.start(
            ask.messages,
            caller=caller,
            request_key=key,
            fingerprint=fingerprint,
            grace_s=grace_s,
            on_leave=on_leave,
            **arguments,
        )

    def _checked(self, model: str | None) -> str | None:
        """The model to ask for: none of them where there is one chain, which has a name of its own."""
        if self.chain is None or model is None:
            return model
        if not same_model(model, self.name):
            raise ModelNotFound(f"There is no model {model[:80]!r} here; there is {self.name!r}.")
        return None

    def follow(self, run: Run, encoder: Encoder, on_error: OnError, **options: Any) -> Response:
        """The run as a stream in the encoder's dialect."""
        settings = self.runs.settings

        def respond(error: Exception) -> Response:
            known = error if isinstance(error, LlmstreamError) else error_from_code("chain_failed", "It failed.")
            return on_error(known)

        options = {"hold_s": settings.hold_s, **options}
        return EventStream(run, encoder, settings=settings, on_error=respond, **options)


def _allowed(name: str, settings: Settings) -> bool:
    with suppress(LlmstreamError):
        check_model(name, settings)
        return True
    return False


def fingerprint_of(body: BaseModel) -> str:
    """The same for the same request."""
    return hashlib.sha256(body.model_dump_json().encode()).hexdigest()


async def all_events(run: Run, request: Request) -> list[Event]:
    """The events of a run to its end; a client that leaves stops it. Raises what the answer failed with."""
    follower = run.follower(idle_s=3600)
    leaving = asyncio.create_task(_stop_at_disconnect(request, run))
    events: list[Event] = []
    try:
        async for batch in follower:
            events += batch.events
    finally:
        leaving.cancel()
        follower.close()
    if isinstance(last := events[-1], Failed):
        raise error_from_code(last.code, last.message)
    if isinstance(last, Cancelled):
        raise RunCancelled
    return events


async def _stop_at_disconnect(request: Request, run: Run) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    await run.stop("left")


def guarded_route(service: Service, on_error: OnError) -> type[APIRoute]:
    """A route that lets in whom the settings allow, and answers every error in its dialect."""

    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                try:
                    return await handle(await service.admit(request))
                except LlmstreamError as error:
                    return on_error(error)
                except RequestValidationError as error:
                    first = error.errors()[0]
                    where = ".".join(str(part) for part in first["loc"] if part != "body")
                    return on_error(InvalidRequest(f"{where or 'The body'}: {first['msg']}."))
                except HTTPException as error:
                    return on_error(InvalidRequest(f"The body is not JSON that can be read: {error.detail}"))
                except RecursionError:
                    return on_error(InvalidRequest("The JSON is nested too deeply."))

            return guarded

    return GuardedRoute


def status_of(error: LlmstreamError) -> int:
    """The status of an error; clients of these dialects know a bad request as 400."""
    status = STATUS.get(error.code, 500)
    return 400 if status == 422 else status


def retry_headers(error: LlmstreamError) -> dict[str, str]:
    """What an error's headers say about asking again."""
    headers = {"cache-control": "no-store"}
    if isinstance(error, Busy):
        headers["retry-after"] = str(error.retry_after_s)
    return headers


class Chats:
    """The last run of each chat; a new message in a chat replaces the run that still goes on."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._last: OrderedDict[tuple[str, str], tuple[str, str | None]] = OrderedDict()

    async def start(
        self, chat: str, ask: Ask, *, caller: str, key: str | None, note: str | None = None, **options: Any
    ) -> Run:
        """Start a run in a chat; `note` is kept with it."""
        log = self._service.runs.log
        if key is None or await log.find(caller, key, options["fingerprint"]) is None:
            await self.stop(caller, chat, "replaced")
        run = await self._service.start(ask, caller=caller, key=key, **options)
        if self._last.get((caller, chat), ("",))[0] != run.id:  # another message may have come in the meantime
            await self.stop(caller, chat, "replaced")
        self._last[caller, chat] = (run.id, note)
        self._last.move_to_end((caller, chat))
        while len(self._last) > _CHATS_KEPT:
            self._last.popitem(last=False)
        return run

    async def stop(self, caller: str, chat: str, by: CancelledBy) -> bool:
        """End what goes on in a chat; False where nothing does."""
        found = await self.active(caller, chat)
        return found is not None and await found[0].stop(by)

    async def active(self, caller: str, chat: str) -> tuple[Run, str | None] | None:
        """The run that goes on in a chat, and its note."""
        run_id, note = self._last.get((caller, chat), ("", None))
        with suppress(RunNotFound):
            run = await self._service.runs.get(run_id, caller=caller)
            return None if (await run.position())[0] else (run, note)
        return None


_CHATS_KEPT = 10_000
