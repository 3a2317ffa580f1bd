"""The owner of the runs: starts them, stops them, and ends each with exactly one terminal event."""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
import weakref
from collections.abc import AsyncGenerator, Callable
from contextvars import ContextVar
from typing import Any, Literal, Unpack

import msgspec

from llmstream.core import Arguments, Job, generate, prepare
from llmstream.errors import LlmstreamError, RunNotFound, ServerShutdown, TooManyRuns
from llmstream.events import (
    Cancelled,
    CancelledBy,
    Event,
    Failed,
    Finished,
    Reasoning,
    Started,
    Status,
    Terminal,
    Timings,
    Token,
    Usage,
    failed,
    is_terminal,
)
from llmstream.inputs import Input
from llmstream.metrics import Metrics
from llmstream.runs.log import Follower, NewRun, RunLog
from llmstream.runs.memory import MemoryLog
from llmstream.runs.places import Places, Ticket
from llmstream.settings import Settings

logger = logging.getLogger("llmstream")

OnLeave = Literal["cancel", "continue"]
RunState = Literal["queued", "running", "finished", "failed", "cancelled"]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it is now; `last_id` is the number of its last event."""

    run_id: str
    state: RunState
    text: str = ""
    reasoning: str = ""
    last_id: int = 0
    model: str = ""
    usage: Usage | None = None
    timings: Timings | None = None
    error: dict[str, Any] | None = None


class Runs:
    """Starts runs and keeps them going; one per process is enough.

    Start runs from one event loop; follow and stop them from any.
    """

    def __init__(self, settings: Settings | None = None, *, log: RunLog | None = None) -> None:
        self.settings = settings or Settings.load()
        self.log = log or MemoryLog(replay_s=self.settings.replay_s, max_log_bytes=self.settings.max_log_bytes)
        self.closing = False
        self._places = Places(self.settings.max_active_runs, self.settings.max_queued_runs)
        self._running: dict[str, _Running] = {}
        self._warned: set[str] = set()
        self.metrics = Metrics(lambda: self._places.active, lambda: len(self._places.queue))

    async def start(
        self,
        question: Input,
        *,
        caller: str = "",
        request_key: str | None = None,
        fingerprint: str = "",
        on_leave: OnLeave = "cancel",
        grace_s: float | None = None,
        **arguments: Unpack[Arguments],
    ) -> Run:
        """Start answering; returns when the run has logged its first event.

        caller: whom the run belongs to. request_key: starts at most one run per caller; with another `fingerprint` it
        raises `KeyConflict`. on_leave: what happens `grace_s` seconds after the last follower left. The other
        arguments are those of `astream`.
        Raises `Busy`, `ServerShutdown`, and what makes an answer impossible before it begins.
        """
        self._check_open()
        if (earlier := await self._find(caller, request_key, fingerprint)) is not None:
            return earlier
        arguments.setdefault("settings", self.settings)
        job = await prepare(question, **arguments)
        self._warn(job)
        if (earlier := await self._find(caller, request_key, fingerprint)) is not None:
            return earlier  # it was started meanwhile, and must not count twice
        # Nothing is awaited between these checks and taking the place: others start runs at the same time.
        self._check_open()
        self._check_caller(caller)
        running = _Running(self, job, self._places.take(), caller)
        self._running[running.id] = running
        try:
            new = NewRun(
                id=running.id,
                caller=caller,
                key=request_key,
                fingerprint=fingerprint,
                grace_s=self._grace_s(on_leave, grace_s),
                on_cancel=functools.partial(self._cancel, running.id),
            )
            owned = await self.log.create(new)
        except BaseException:
            self._forget(running)
            raise
        if owned != running.id:  # another request with the same key was faster
            self._forget(running)
            return Run(self, owned)
        await running.start()
        return Run(self, running.id)

    @property
    def active(self) -> list[str]:
        """The ids of the runs that go on."""
        return list(self._running)

    async def get(self, run_id: str, *, caller: str = "") -> Run:
        """The run with this id; raises `RunNotFound` for one that is unknown, expired or another caller's."""
        info = await self.log.info(run_id)
        if info is None or info.caller != caller:
            raise RunNotFound
        return Run(self, run_id)

    async def drain(self, timeout_s: float | None = None) -> None:
        """Refuse new runs, let those that go on finish for a time, then fail the rest with `server_shutdown`.

        Returns when all of them have let go of their models.
        """
        self.closing = True
        tasks = [running.task for running in self._running.values() if running.task is not None]
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=self.settings.drain_s if timeout_s is None else timeout_s)
        for running in list(self._running.values()):
            running.cancel(failed(ServerShutdown()))
        await asyncio.wait(tasks)

    def reopen(self) -> None:
        """Take new runs again after a `drain`: an app may be started more than once."""
        self.closing = False

    async def _find(self, caller: str, key: str | None, fingerprint: str) -> Run | None:
        found = None if key is None else await self.log.find(caller, key, fingerprint)
        return None if found is None else Run(self, found)

    def _cancel(self, run_id: str, by: CancelledBy) -> None:
        running = self._running.get(run_id)
        if running is not None:
            running.cancel(Cancelled(by))

    def _check_open(self) -> None:
        if self.closing:
            raise ServerShutdown

    def _forget(self, running: _Running) -> None:
        """A run that was not begun."""
        del self._running[running.id]
        running.release()

    def _check_caller(self, caller: str) -> None:
        limit = self.settings.max_caller_runs
        if limit and sum(running.caller == caller for running in self._running.values()) >= limit:
            raise TooManyRuns(f"You have {limit} answers under way, as many as one caller may. Wait for one to end.")

    def _grace_s(self, on_leave: OnLeave, grace_s: float | None) -> float:
        if on_leave == "continue":
            return self.settings.max_unwatched_s
        return self.settings.grace_s if grace_s is None else grace_s

    def _warn(self, job: Job) -> None:
        for name in job.sync_parts:
            if name not in self._warned:
                self._warned.add(name)
                logger.warning(
                    "the chain's step %.80r is a sync function: a stop can't end it, so it runs on in its thread "
                    "(and keeps its place) until it returns. Make it async to free the model at once.",
                    name,
                )

    def ended(self, running: _Running, event: Terminal) -> None:
        """A run has logged its terminal event."""
        self._running.pop(running.id, None)
        self.metrics.ended(event)


class Run:
    """A handle on one run; cheap, and there may be many."""

    def __init__(self, runs: Runs, run_id: str) -> None:
        self.id = run_id
        self._runs = runs

    async def follow(self, after: int = 0) -> AsyncGenerator[Event, None]:
        """The events after number `after`, and then those to come, up to the terminal one.

        Events are numbered 1, 2, 3 … without gaps, so a follower knows its position by counting. Raises `RunNotFound`,
        or `PositionLost` where not every event after the position is there.
        """
        follower = self.follower(after, idle_s=3600)
        try:
            async for batch in follower:
                for event in batch.events:
                    yield event
        finally:
            follower.close()

    def follower(self, after: int = 0, *, idle_s: float, watching: bool = True) -> Follower:
        """Batches of events, and an empty one after `idle_s` seconds of silence; to be closed."""
        return self._runs.log.follow(self.id, after, idle_s=idle_s, watching=watching)

    async def position(self) -> tuple[bool, int]:
        """Whether the run has ended, and the number of its last event."""
        info = await self._runs.log.info(self.id)
        if info is None:
            raise RunNotFound
        return info.ended, info.last

    async def stop(self, by: CancelledBy = "stop") -> bool:
        """End the run and free the model; False where it had ended."""
        return await self._runs.log.cancel(self.id, by)

    async def snapshot(self) -> Snapshot:
        """The run as it is now; raises `RunNotFound`."""
        info = await self._runs.log.info(self.id)
        if info is None:
            raise RunNotFound
        events: list[Event] = []
        follower = self.follower(idle_s=3600, watching=False)
        while len(events) < info.last:
            events += (await anext(follower)).events
        follower.close()
        return snapshot(self.id, events)


def snapshot(run_id: str, events: list[Event]) -> Snapshot:
    """What the events of a run add up to."""
    state: RunState = "queued" if _is_queued(events) else "running"
    fields: dict[str, Any] = {}
    for event in events:
        match event:
            case Started():
                fields["model"] = event.model
            case Finished():
                state = "finished"
                fields |= {"usage": event.usage, "timings": event.timings}
            case Failed():
                state = "failed"
                fields["error"] = {"code": event.code, "message": event.message, "retryable": event.retryable}
            case Cancelled():
                state = "cancelled"
    return Snapshot(
        run_id=run_id,
        state=state,
        text="".join(event.text for event in events if isinstance(event, Token)),
        reasoning="".join(event.text for event in events if isinstance(event, Reasoning)),
        last_id=len(events),
        **fields,
    )


def _is_queued(events: list[Event]) -> bool:
    last = events[-1] if events else None
    return isinstance(last, Status) and last.state == "queued"


class _Place:
    """Its end frees a run's place: see `_Running._hold_place`."""


_place: ContextVar[_Place | None] = ContextVar("_place", default=None)


class _Running:
    """One run that goes on: its task, its place, its end."""

    def __init__(self, runs: Runs, job: Job, ticket: Ticket, caller: str) -> None:
        self.id = secrets.token_hex(16)
        self.caller = caller
        self.task: asyncio.Task[None] | None = None
        self._runs, self._log, self._metrics = runs, runs.log, runs.metrics
        self._job = job
        self._ticket = ticket
        self._begun = False
        self._over = False
        self._cancelled_by: Terminal | None = None

    async def start(self) -> None:
        """Begin; returns when the task itself has logged `started`, so that from here on a cancellation is handled."""
        begun = asyncio.Event()
        self.task = asyncio.create_task(self._run(begun))
        await begun.wait()

    def cancel(self, event: Terminal) -> None:
        """End the run with this event, at once, whatever its task is doing; what the task still brings is dropped."""
        if not self._begun:
            self._cancelled_by = event  # a task that is cancelled before its first step would never log anything
        elif not self._over:
            self._append([event])
            if self.task is not None:
                self.task.cancel()

    def _append(self, events: list[Event]) -> None:
        if self._over:
            return
        last = events[-1]
        if is_terminal(last):
            self._over = True
            if isinstance(last, Finished):
                self.release()  # first, so that who reads the end and asks again finds the place free
        self._log.append(self.id, events)
        self._metrics.observe(events)
        if self._over:
            self._runs.ended(self, last)  # type: ignore[arg-type]

    async def _run(self, begun: asyncio.Event) -> None:
        try:
            self._append([self._job.started()])
            self._begun = True
            begun.set()
            if self._cancelled_by is not None:
                return self._append([self._cancelled_by])
            await self._ticket.wait(lambda position: self._append([_queued(position)]))
            if self._job.sync_parts:
                self._hold_place(asyncio.get_running_loop())
            if (error := await generate(self._job, self._append)) is not None:
                _forget_frames(error)
        except asyncio.CancelledError:
            self._append([Cancelled("stop")])  # the loop is going down: nobody else has ended the run
        except LlmstreamError as error:
            self._append([failed(error)])
        finally:
            held = _place.get() is not None
            _place.set(None)  # before the log makes timers, which hold a copy of this context too
            await self._runs.log.close(self.id)
            if not held:
                self.release()
            elif not self._ticket.released:
                _drop_cancelled_timers(asyncio.get_running_loop())

    def release(self) -> None:
        """Give the place back."""
        self._ticket.release()

    def _hold_place(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep the place as long as any copy of this task's context lives.

        A sync function runs on in its thread after a stop, and its thread has such a copy.
        """
        place = _Place()
        weakref.finalize(place, _call_in(loop, self._ticket.release))
        _place.set(place)


def _forget_frames(error: BaseException) -> None:
    """Let go of what an error's frames hold, in circles: the chain's values, and copies of the run's context."""
    errors = [error]
    for each in errors:  # it grows; an error may be its own cause's cause
        each.__traceback__ = None
        errors += [other for other in (each.__cause__, each.__context__) if other is not None and other not in errors]


def _drop_cancelled_timers(loop: asyncio.AbstractEventLoop) -> None:
    """Have asyncio let go of the contexts in timers that are cancelled.

    It keeps those to their time, an hour perhaps, until there are more than a hundred and they outnumber the others.
    """
    for _ in range(1000):
        loop.call_later(1, _nothing).cancel()


def _nothing() -> None:
    pass


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> Callable[[], None]:
    def in_loop() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(call)

    return in_loop


def _queued(position: int) -> Status:
    return Status("queued", f"Waiting for a place: number {position} in the queue.", position)
