"""What the endpoints of all dialects share: the chain as each of them asks it, its chats, routes that answer errors."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from contextlib import suppress
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from llmstream.core.inputs import Arguments
from llmstream.errors import (
    LlmstreamError,
    ModelNotFound,
    RunNotFound,
    error_from_code,
)
from llmstream.events import CancelledBy
from llmstream.http import route
from llmstream.http.ask import Ask
from llmstream.http.encoder import Encoder
from llmstream.http.route import OnError, admit
from llmstream.http.security import Identify
from llmstream.http.stream import EventStream
from llmstream.ollama.models import Ollama
from llmstream.ollama.names import same_model
from llmstream.runs.limits import check, is_allowed
from llmstream.runs.owner import Runs
from llmstream.runs.run import OnLeave, Run


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
        return [model.name for model in await Ollama.of(settings).models() if is_allowed(model.name, settings)]

    async def admit(self, request: Request) -> Request:
        """The request of somebody who may ask, also in an app without our doors."""
        return await admit(request, self.runs.settings, self.identify)

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
        model = self._checked(ask.model)
        check(self.runs.settings, texts=[ask.last_text], model=model, options=ask.options)
        arguments: Arguments = {
            "model": model,
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


def fingerprint_of(body: BaseModel) -> str:
    """The same for the same request."""
    return hashlib.sha256(body.model_dump_json().encode()).hexdigest()


def guarded_route(service: Service, on_error: OnError) -> type[APIRoute]:
    """A route that lets in whom the settings allow, and answers every error in its dialect."""
    return route.guarded_route(lambda: service.runs.settings, service.identify, on_error)


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
