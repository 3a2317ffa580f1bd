"""A run as a stream of server-sent events over ASGI; or awaited to its end.

Neither Starlette's nor FastAPI's own streaming responses give all of what clients need: the exact content type, one
write for all events that are ready together, heartbeats of one newline, a real HTTP status for a failure before the
first event, a client that reads nothing dropped, and a disconnect noticed before the first byte too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llmstream.concurrency import Watchdog
from llmstream.errors import LlmstreamError, RunCancelled, error_from_code
from llmstream.events import Event, Failed, Finished, Interrupted, Started, failed
from llmstream.http.encoder import OPEN, Encoder
from llmstream.http.errors import ErrorForm, error_response
from llmstream.runs.log import END_OF_LOST, Follower, PositionLost
from llmstream.runs.run import Run
from llmstream.settings import Settings

# A proxy that compresses (npm's `compression`, for one) would hold back what it gets until it has enough of it.
CACHE_CONTROL = "no-store, no-transform"

HEADERS = {
    "content-type": "text/event-stream",
    "cache-control": CACHE_CONTROL,
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
}

# Where a server offers it, closes a connection whose client reads nothing: a plain close would wait for that client.
ABORT = "llmstream.abort"


class Followable(Protocol):
    """A run, or several, to follow; id: empty where it is no single run."""

    id: str

    def follower(self, after: int = 0, *, idle_s: float, watching: bool = True, at_least: int = 0) -> Follower:
        """A follower of the events, as `Run.follower` gives one."""
        ...


class EventStream(Response):
    """An ASGI response that follows a run from where its encoder starts.

    hold_s: how long the headers wait for an event that could be a failure with a status of its own; 0 sends them at
    once. form: in which the client reads such a failure. after: the number of the last event that the client has.
    """

    def __init__(
        self,
        run: Followable,
        encoder: Encoder,
        *,
        settings: Settings,
        hold_s: float = 0,
        after: int = 0,
        form: ErrorForm,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status_code = 200
        self.background = None
        self._run = run
        self._encoder = encoder
        self._settings = settings
        self._hold_s = hold_s
        self._after = after
        self._form = form
        self.init_headers({**HEADERS, **({"x-run-id": run.id} if run.id else {}), **(headers or {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            idle_s = self._hold_s or self._settings.heartbeat_s
            follower = self._run.follower(self._encoder.start, idle_s=idle_s, at_least=self._after)
        except PositionLost as lost:
            await self._start(send)
            return await send({"type": "http.response.body", "body": OPEN + self._encoder.lost(lost.reason)})
        disconnected = asyncio.create_task(_close_at_disconnect(receive, follower))
        sender = _Sender(send, self._settings.send_timeout_s, scope)
        try:
            # In a task of its own: below middlewares and routers each piece would wake a stack of twenty frames.
            await asyncio.create_task(self._respond(follower, scope, receive, sender))
            if sender.aborted:
                await disconnected  # a server that does not know yet would complain of a response without an end
        finally:
            disconnected.cancel()
            follower.close()

    async def _respond(self, follower: Follower, scope: Scope, receive: Receive, sender: _Sender) -> None:
        held = OPEN
        if self._hold_s > 0:
            try:
                held += await self._first(follower)
            except LlmstreamError as error:
                return await self._refuse(error)(scope, receive, sender.raw)
        with sender:
            await self._start(sender.raw)
            await self._stream(held, follower, sender)
            await sender.raw({"type": "http.response.body"})

    async def _first(self, follower: Follower) -> bytes:
        """The events before the headers have to be sent; raises a failure that can still be their status."""
        held = b""
        try:
            async for batch in follower:
                news = next((event for event in batch.events if not isinstance(event, Started)), None)
                if isinstance(news, Failed):
                    raise error_from_code(news.code, news.message)
                held += self._encoder.encode(batch.first, batch.events)
                if news is not None or not batch.events:
                    break
        except PositionLost as lost:
            held += self._encoder.lost(lost.reason)
        follower.idle_s = self._settings.heartbeat_s
        return held

    def _refuse(self, error: LlmstreamError) -> Response:
        response = error_response(error, self._form)
        response.headers["x-run-id"] = self._run.id
        return response

    async def _stream(self, body: bytes, follower: Follower, sender: _Sender) -> None:
        """Sends these events, and then those to come; once per token, so with as few calls as can be."""
        now, encode = asyncio.get_running_loop().time, self._encoder.encode
        while True:
            # What this dialect does not show may hide a long silence on the wire.
            if not body and now() - sender.sent_at >= self._settings.heartbeat_s:
                body = self._encoder.heartbeat
            if body:
                sender.sent_at, sender.sending = now(), True
                await sender.raw({"type": "http.response.body", "body": body, "more_body": True})
                sender.sending = False
            try:
                batch = await anext(follower)
            except StopAsyncIteration:
                return None
            except PositionLost as lost:
                return await sender.raw(_piece(self._encoder.lost(lost.reason)))
            except LlmstreamError as error:
                if not self._encoder.numbered:  # who can come back is told then
                    await sender.raw(_piece(encode(END_OF_LOST, [failed(error)])))
                return None
            body = encode(batch.first, batch.events)

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})


def _piece(body: bytes) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": True}


async def _close_at_disconnect(receive: Receive, follower: Follower) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    follower.close()


class _Sender:
    """Drops a client that takes a piece of a body for longer than `timeout_s` seconds. One timer a connection.

    raw: what sends. sent_at: when the last sending began, in the loop's time; sending: whether it goes on.
    """

    def __init__(self, send: Send, timeout_s: float, scope: Scope) -> None:
        self.raw = send
        self.sent_at = 0.0
        self.aborted = False
        self._timeout_s = timeout_s
        self._abort = scope.get("extensions", {}).get(ABORT)
        self.sending = False
        self._expired = False
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._watchdog = Watchdog()

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self.sent_at = self._loop.time()
        self._watchdog.start(self._due, self._expire)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        self._watchdog.stop()
        if not self._expired or kind is not asyncio.CancelledError or self._task is None or self._task.uncancel():
            return False
        if self._abort is not None:
            self._abort["abort"]()
            self.aborted = True
        return True

    def _due(self) -> float:
        return (self.sent_at if self.sending else self._loop.time()) + self._timeout_s

    def _expire(self) -> None:
        if self._task is not None:
            self._expired = True
            self._task.cancel()


async def all_events(run: Run, request: Request) -> list[Event]:
    """The events of a run to its end; raises what the answer failed with, or `RunCancelled` where the client left."""
    follower = run.follower()
    leaving = asyncio.create_task(_close_at_disconnect(request.receive, follower))
    events: list[Event] = []
    try:
        async for batch in follower:
            events += batch.events
    finally:
        leaving.cancel()
        follower.close()
    last = events[-1] if events else None
    if isinstance(last, Failed):
        raise error_from_code(last.code, last.message)
    if not isinstance(last, Finished | Interrupted):
        raise RunCancelled
    return events


def lost_response(encoder: Encoder, reason: str) -> Response:
    """The response that tells a client that its position can't be honoured."""
    return Response(OPEN + encoder.lost(reason), headers=HEADERS)
