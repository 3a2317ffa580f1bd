"""A thread of this protocol: its runs one after the other, and the messages that they add up to.

The last run of a thread is the log's (`Chats`), its note has the messages up to it. Once the log has forgotten it, a
graph's own thread has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from llmstream.core.thread_state import remembers_conversations, thread_state
from llmstream.dialects.langgraph.encoder import RunEncoder
from llmstream.dialects.langgraph.frames import Wanted
from llmstream.dialects.langgraph.request import InputRespond, RunStart
from llmstream.errors import CapabilityMissing, InvalidRequest, RunNotFound
from llmstream.events import Event, Interrupt, Interrupted, is_terminal, json_value
from llmstream.http.ask import Ask
from llmstream.http.asker import Asker
from llmstream.http.chat_runs import Chats, read_note
from llmstream.http.service import Service
from llmstream.runs.log import PositionLost
from llmstream.runs.run import Run

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class State:
    """A thread as it is: its messages, what a person is asked, and whether a run goes on.

    While one does, its messages are in its stream alone: a client takes those of a state for whole.
    """

    messages: Messages
    interrupts: Sequence[Interrupt] = ()
    is_running: bool = False
    run_id: str = ""


class Threads:
    """The threads of every caller."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._chats = Chats(service, "langgraph")
        self._waiting: dict[tuple[str, str], set[asyncio.Event]] = {}

    async def last(self, caller: str, thread: str) -> tuple[Run, Messages] | None:
        """The last run of a thread, and the messages up to it; None where there is none, or it is forgotten."""
        found = await self._chats.last(caller, thread)
        return None if found is None else (found[0], read_note(found[1], list[dict[str, Any]]))

    async def state(self, caller: str, thread: str) -> State | None:
        """A thread as it is; None for one that nobody knows."""
        found = await self.last(caller, thread)
        if found is not None:
            run, before = found
            try:
                events, _ = await run.recorded()
            except (RunNotFound, PositionLost):
                pass
            else:
                return _state(run.id, before, events)
        kept = await thread_state(self.service.chain, thread, caller)
        return None if kept is None else State(kept.messages, kept.interrupts)

    async def start(self, thread: str, params: RunStart, asker: Asker) -> Run:
        """Starts a run with what is new in a thread, unless this request has before; one that goes on is replaced."""
        if (earlier := await self.service.runs.earlier(asker.caller, asker.key, asker.fingerprint)) is not None:
            return earlier
        given, caller = params.input.kept(), asker.caller
        if params.multitask_strategy in ("reject", "enqueue"):
            await self._check_idle(caller, thread, params.multitask_strategy)
        await self._end(caller, thread)
        before = await self.state(caller, thread)
        messages = [*(before.messages if before else ()), *given]
        # Beside one new message, a graph is shown the conversation, to know from where it goes on.
        news = given if len(given) == 1 and remembers_conversations(self.service.chain) else messages
        return await self._begin(thread, params.ask(thread, news), messages, asker)

    async def answer(self, thread: str, params: InputRespond, asker: Asker) -> Run:
        """Goes on with the answers to what a thread waits for."""
        before = await self.state(asker.caller, thread)
        return await self._begin(thread, params.ask(thread), before.messages if before else (), asker)

    async def _begin(self, thread: str, ask: Ask, messages: Messages, asker: Asker) -> Run:
        note = msgspec.json.encode(json_value(messages))
        if len(note) > (limit := self.service.runs.limits.max_body_bytes):
            raise InvalidRequest(f"The conversation is larger than {limit} bytes. Begin a new thread.")
        run = await self._chats.start(thread, ask, asker, note=note.decode(), on_leave="continue")
        for waiting in self._waiting.get((asker.caller, thread), ()):
            waiting.set()
        return run

    async def _check_idle(self, caller: str, thread: str, strategy: str) -> None:
        if await self._chats.active(caller, thread) is None:
            return
        if strategy == "reject":
            raise InvalidRequest("A run goes on in this thread.")
        raise CapabilityMissing(
            "Runs are not queued here: wait for the one that goes on in this thread, or replace it."
        )

    async def _end(self, caller: str, thread: str) -> None:
        """Ends what goes on in a thread, so that all it said is known."""
        found = await self._chats.active(caller, thread)
        with suppress(RunNotFound, PositionLost):
            if found is not None and await found[0].stop("replaced"):
                async for _ in found[0].follow():
                    pass

    async def wait(self, caller: str, thread: str, timeout_s: float) -> None:
        """Waits until a run is started in a thread by this process, at most `timeout_s` seconds."""
        waiting, key = asyncio.Event(), (caller, thread)
        self._waiting.setdefault(key, set()).add(waiting)
        try:
            async with asyncio.timeout(timeout_s):
                await waiting.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting[key].discard(waiting)
            if not self._waiting[key]:
                del self._waiting[key]


def _state(run_id: str, before: Messages, events: Sequence[Event]) -> State:
    last = events[-1] if events else None
    if last is None or not is_terminal(last):
        return State(before, is_running=True, run_id=run_id)
    encoder = RunEncoder(run_id, before, wanted=Wanted(()))
    encoder.encode(1, events)
    asked = last.interrupts if isinstance(last, Interrupted) else ()
    return State(list(encoder.transcript.told()), asked, run_id=run_id)
