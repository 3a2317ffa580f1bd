"""The answers a chat page waits for: each is a run, followed at a pace a page can show, and stopped when it is left."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic import ValidationError
from starlette.requests import HTTPConnection

from llmstream.core.direct import can_go_on
from llmstream.core.generator import as_runnable
from llmstream.dialects.native.request import RunRequest
from llmstream.errors import InvalidRequest, LlmstreamError
from llmstream.events import Interrupt, Interrupted, failed
from llmstream.gradio.images import with_images
from llmstream.gradio.messages import Cut, note, without_options
from llmstream.gradio.view import ChatView
from llmstream.http.ask import Ask
from llmstream.http.asker import Asker
from llmstream.http.errors import refusals_told
from llmstream.http.prepare import Prepare
from llmstream.http.service import Service
from llmstream.runs.following import Following
from llmstream.runs.manager import Runs
from llmstream.runs.run import Run
from llmstream.view.interrupts import typed_answers

# A page that is gone is noticed when something is sent to it: so often something is, also where there is no news.
KEEP_ALIVE_S = 0.5

# At most 16 updates a second; the eye hardly sees more, and each costs the server half a millisecond.
PERIOD_S = 0.06
Session = tuple[str, str]  # the caller, and the page's own id


_THREADS_KEPT = 10_000


@dataclass
class _Thread:
    """The conversation of a page as its chain knows it, and the question of the chain to the person."""

    id: str = field(default_factory=secrets.token_urlsafe)
    asked: Sequence[Interrupt] = ()


class _Turn:
    """One answer a page waits for."""

    def __init__(self, start: Callable[[], Coroutine[Any, Any, Run]], *, stops: bool) -> None:
        self.following = Following(start, stops=stops)
        self.replaced = False

    async def stop(self) -> None:
        self.following.stop()
        if self.following.run is not None:
            await self.following.run.stop()


class Turns:
    """The answers that pages wait for, at most one at a time for each page.

    chain: any Runnable; None is the default chain. answer_nodes: see `astream`. prepare: see `create_router`.
    come_back: whether a page that is gone may come back to its answer, within the grace that the settings give it.
    """

    def __init__(
        self,
        runs: Runs,
        chain: object = None,
        *,
        answer_nodes: Sequence[str] = (),
        prepare: Prepare | None = None,
        come_back: bool = False,
    ) -> None:
        self._service = Service(runs, chain, answer_nodes=answer_nodes, prepare=prepare)
        self._goes_on = can_go_on(None if chain is None else as_runnable(chain), answer_nodes)
        self._come_back = come_back
        self._turns: dict[Session, _Turn] = {}
        self._threads: OrderedDict[Session, _Thread] = OrderedDict()

    def is_busy(self, session: Session) -> bool:
        """True if the page waits for an answer."""
        return session in self._turns

    def asked(self, session: Session) -> Sequence[Interrupt]:
        """The questions of the chain to the page."""
        return self._threads[session].asked if session in self._threads else ()

    async def stop(self, session: Session) -> None:
        """Ends the page's answer and frees the model; what came stays."""
        if (turn := self._turns.get(session)) is not None:
            await turn.stop()

    async def leave(self, session: Session) -> None:
        """Ends the page's answer and shows it no more: the page has gone on to something else."""
        if (turn := self._turns.pop(session, None)) is not None:
            turn.replaced = True
            await turn.stop()

    def thread(self, session: Session) -> str:
        """The name of the page's conversation, empty before the first question."""
        return self._threads[session].id if session in self._threads else ""

    def restore(self, session: Session, thread: str) -> None:
        """Gives a page the conversation that it had before it was loaded again."""
        if thread:
            self._put_thread(session, _Thread(thread))

    async def answer(
        self, session: Session, fields: Mapping[str, Any], request: HTTPConnection | None = None
    ) -> AsyncGenerator[ChatView, None]:
        """The answer as it grows; the last view has ended, unless the page went on to something else.

        fields: those of a `RunRequest`, and `answer`, where the page answers what the chain asked. request: for
        `prepare`. Never raises for what can go wrong with an answer.
        """
        await self.leave(session)
        thread, fields = self._on_thread(session, fields)
        turn = _Turn(partial(self._start, session[0], fields, request), stops=not self._come_back)
        async with aclosing(self._shown(session, thread, turn)) as views:
            async for view in views:
                yield view

    async def continued(self, session: Session, cut: Cut, request: HTTPConnection | None = None) -> list[Any]:
        """The conversation in which another run goes on with the page's answer; or says why that can't be done."""
        try:
            with refusals_told():
                run = await self._service.continue_run(cut.run_id, Asker(session[0], request))
        except LlmstreamError as error:
            return [*map(without_options, cut.messages), note("⚠️ Not continued", error.message)]
        return [*map(without_options, cut.answered_by(run.id))]

    async def follow(self, session: Session, run_id: str, *, is_own: bool = False) -> AsyncGenerator[ChatView, None]:
        """The answer of a run that this page, or an earlier one, has begun, from its beginning."""
        await self.leave(session)
        thread = self._threads.get(session) or _Thread()
        self._put_thread(session, thread)
        turn = _Turn(partial(self._service.runs.get, run_id, caller=session[0]), stops=is_own and not self._come_back)
        async with aclosing(self._shown(session, thread, turn)) as views:
            async for view in views:
                yield view

    async def _shown(self, session: Session, thread: _Thread, turn: _Turn) -> AsyncGenerator[ChatView, None]:
        self._turns[session] = turn
        view = ChatView(goes_on=self._goes_on)
        try:
            async with aclosing(_views(turn, view)) as views:
                async for _ in views:
                    yield view
            if isinstance(view.ended, Interrupted):
                thread.asked = view.ended.interrupts
            if not turn.replaced:
                yield view
        finally:
            if self._turns.get(session) is turn:
                del self._turns[session]

    def _on_thread(self, session: Session, fields: Mapping[str, Any]) -> tuple[_Thread, Mapping[str, Any]]:
        """The page's thread, a new one where a conversation begins; and what is asked on it, or answered."""
        others = {name: value for name, value in fields.items() if name not in ("messages", "answer")}
        messages, answer = fields["messages"], fields.get("answer")
        thread = self._threads.pop(session, None) or _Thread()
        asked, thread.asked = thread.asked, ()
        if answer is not None and asked:
            others["resume"] = typed_answers(asked, answer)
        else:
            others["messages"] = messages if answer is None else [*messages, {"role": "user", "content": answer}]
            said = [each for each in messages if isinstance(each, Mapping) and each.get("role") != "system"]
            thread = thread if len(said) > 1 else _Thread()
        self._put_thread(session, thread)
        return thread, {**others, "thread": thread.id}

    def _put_thread(self, session: Session, thread: _Thread) -> None:
        self._threads[session] = thread
        while len(self._threads) > _THREADS_KEPT:
            self._threads.popitem(last=False)

    async def _start(self, caller: str, fields: Mapping[str, Any], request: HTTPConnection | None) -> Run:
        try:
            if isinstance(fields.get("messages"), list):
                fields = {**fields, "messages": await asyncio.to_thread(with_images, fields["messages"])}
            asked = RunRequest(**fields)
        except ValidationError:
            raise InvalidRequest("The page sent something that can't be asked. Reload it.") from None
        ask = asked.ask()
        if self._service.chain is not None:  # it brings its own model, and what that is told
            ask = Ask(messages=ask.messages, thread=ask.thread, resume=ask.resume, inputs=ask.inputs)
        grace_s = None if self._come_back else 0
        with refusals_told():
            return await self._service.start(ask, Asker(caller, request), grace_s=grace_s)


async def _views(turn: _Turn, view: ChatView) -> AsyncGenerator[ChatView, None]:
    """The view of an answer each time it should be shown, but for the last one."""
    try:
        async with aclosing(turn.following.lists(KEEP_ALIVE_S)) as lists:
            async for events in lists:
                view.run_id = turn.following.run_id
                view.put(events)
                if turn.following.run is not None:
                    _, last = await turn.following.run.position()
                    while view.seen < last:  # what is there already
                        view.put(await anext(lists))
                if view.ended is not None or turn.replaced:
                    return
                yield view
                if view.parts:  # something has come from the model
                    await asyncio.sleep(PERIOD_S)
    except LlmstreamError as error:
        view.put([failed(error)])
