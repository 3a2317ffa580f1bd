"""The app the demo server runs: notes requests, plays scenarios, passes everything else to the dialect's app."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmstream.demo_ollama import openai
from llmstream.demo_ollama.activity import Activity, RequestRecord
from llmstream.demo_ollama.scenarios import Call, find_scenario, play
from llmstream.demo_ollama.scenarios.scenario import ScenarioModel
from llmstream.ollama_server.checks import read_chat
from llmstream.ollama_server.loaded import LoadedModels
from llmstream.untrusted_json import json_object

_GENERATING = ("/api/chat", "/api/generate", openai.COMPLETIONS)


class Front:
    """The ASGI app of the demo server.

    app: the dialect's app, for all that is no scenario. activity: where requests are noted. loaded: where played
    scenario models are noted. scenarios: whether `demo:<scenario>` models exist. interval_s: time between tokens, for
    the scenarios that keep the server's pace. drop: closes the connection of an ASGI scope; its second argument says
    whether to reset it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        activity: Activity,
        loaded: LoadedModels,
        scenarios: bool,
        interval_s: float,
        drop: Callable[[Scope, bool], None],
    ) -> None:
        self._app = app
        self._activity = activity
        self._loaded = loaded
        self._scenarios = scenarios
        self._interval_s = interval_s
        self._drop = drop
        self._counts: Counter[str] = Counter()

    def find(self, name: str) -> ScenarioModel | None:
        """The scenario behind a model's full name, if there are scenarios."""
        return find_scenario(name) if self._scenarios else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        try:
            data = await Request(scope, receive).body()
        except ClientDisconnect:
            return
        record = RequestRecord(scope["method"], scope["path"], json_object(data))
        self._activity.requests.append(record)
        send = _noting(record, send)
        if record.path in openai.ENDPOINTS:
            scope = {**scope, "path": openai.ENDPOINTS[record.path]}
            is_chat = record.path == openai.COMPLETIONS
            data = openai.chat_body(record.body) if is_chat else data
            send = openai.CompletionSend(record.body, send) if is_chat else openai.models_send(send)
        if record.path not in _GENERATING:
            await self._answer(scope, data, receive, send)
            return
        with self._activity.generation():
            try:
                await self._answer(scope, data, receive, send)
            finally:
                record.closed = not record.finished

    async def _answer(self, scope: Scope, data: bytes, receive: Receive, send: Send) -> None:
        found = self.find(str(json_object(data).get("model"))) if scope["path"] in _GENERATING else None
        if found is None:
            await self._app(scope, _replaying(data, receive), send)
            return
        request = read_chat(data, is_generate=scope["path"].endswith("generate"))
        context_length = int(request.options.get("num_ctx") or found.model.context_length)
        self._counts[found.model.name] += 1
        call = Call(
            request,
            number=self._counts[found.model.name],
            argument=found.argument,
            context_length=context_length,
            interval_s=self._interval_s,
        )
        await play(
            found.scenario(call),
            receive=receive,
            send=send,
            drop=lambda reset: self._drop(scope, reset),
            on_first_bytes=lambda: self._loaded.load(
                found.model, context_length=context_length, keep_alive_s=request.keep_alive_s
            ),
        )


def _replaying(data: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body, which has been read, once more."""
    bodies = [data]

    async def replay() -> Message:
        if bodies:
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}
        return await receive()

    return replay


def _noting(record: RequestRecord, send: Send) -> Send:
    async def note(message: Message) -> None:
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            record.finished = True

    return note
