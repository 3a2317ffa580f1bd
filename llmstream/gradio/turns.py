"""The answers a chat page waits for: each is a run, followed at a pace a page can show, and stopped when it is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from pydantic import ValidationError

from llmstream.dialects.native.request import RunRequest
from llmstream.errors import InvalidRequest, LlmstreamError
from llmstream.events import Cancelled
from llmstream.gradio.view import View
from llmstream.http.ask import Ask
from llmstream.http.service import Service
from llmstream.runs.following import leave
from llmstream.runs.owner import Runs
from llmstream.runs.run import Run

# A page that is gone is noticed when something is sent to it: so often something is, also where there is no news.
KEEP_ALIVE_S = 0.5

# At most 16 updates a second; the eye hardly sees more, and each costs the server half a millisecond.
PERIOD_S = 0.06
Session = tuple[str, str]  # the caller, and the page's own id


class _Turn:
    """One answer a page waits for."""

    def __init__(self) -> None:
        self.left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.run: Run | None = None
        self.replaced = False

    async def stop(self) -> None:
        if not self.left.done():
            self.left.set_result(None)
        if self.run is not None:
            await self.run.stop()


class Turns:
    """At most one answer at a time for each page.

    chain: any Runnable; None is the default chain.
    """

    def __init__(self, runs: Runs, chain: object = None) -> None:
        self._service = Service(runs, chain)
        self._turns: dict[Session, _Turn] = {}

    def is_busy(self, session: Session) -> bool:
        """Whether the page waits for an answer."""
        return session in self._turns

    async def stop(self, session: Session) -> None:
        """End the page's answer and free the model; what came stays."""
        if (turn := self._turns.get(session)) is not None:
            await turn.stop()

    async def leave(self, session: Session) -> None:
        """The same, where the page shows something else by now: the answer is not shown any more."""
        if (turn := self._turns.pop(session, None)) is not None:
            turn.replaced = True
            await turn.stop()

    async def answer(self, session: Session, fields: Mapping[str, Any]) -> AsyncGenerator[View, None]:
        """The answer as it grows; the last view has ended, unless the page went on to something else.

        fields: those of a `RunRequest`. Never raises for what can go wrong with an answer.
        """
        await self.leave(session)
        turn = self._turns[session] = _Turn()
        starting = asyncio.ensure_future(self._start(session[0], fields))
        view = View()
        try:
            while not starting.done() and not turn.left.done():
                yield view
                either: list[asyncio.Future[Any]] = [starting, turn.left]
                await asyncio.wait(either, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                view.put([Cancelled("stop")])
            elif isinstance(error := starting.exception(), LlmstreamError):
                view.fail(error.code, error.message, retryable=error.retryable)
            else:
                turn.run = starting.result()
                async with aclosing(self._follow(turn, turn.run, view)) as views:
                    async for view in views:
                        yield view
            if not turn.replaced:
                yield view
        finally:
            if self._turns.get(session) is turn:
                del self._turns[session]
            leave(starting)

    async def _start(self, caller: str, fields: Mapping[str, Any]) -> Run:
        try:
            request = RunRequest(**fields)
        except ValidationError:
            raise InvalidRequest("The page sent something that can't be asked. Reload it.") from None
        ask = request.ask()
        if self._service.chain is not None:  # it brings its own model, and what that is told
            ask = Ask(messages=ask.messages, context=ask.context)
        return await self._service.start(ask, caller=caller, grace_s=0)

    async def _follow(self, turn: _Turn, run: Run, view: View) -> AsyncGenerator[View, None]:
        """The view of a run each time it should be shown, but for the last one."""
        view.run_id = run.id
        follower = run.follower(idle_s=KEEP_ALIVE_S)
        try:
            if turn.left.done():
                await run.stop()
            while True:
                view.put((await anext(follower)).events)
                _, last = await run.position()
                while view.seen < last:  # what is there already
                    view.put((await anext(follower)).events)
                if view.ended is not None or turn.replaced:
                    return
                yield view
                if view.streaming:
                    await asyncio.sleep(PERIOD_S)
        finally:
            follower.close()
