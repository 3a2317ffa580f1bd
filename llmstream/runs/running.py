"""One run that goes on: its task, its place, its end."""

from __future__ import annotations

import asyncio
import secrets
import weakref
from collections.abc import Callable
from contextvars import ContextVar

from llmstream.core.generate import generate
from llmstream.core.job import Job
from llmstream.errors import LlmstreamError
from llmstream.events import (
    Cancelled,
    Event,
    Finished,
    Status,
    Terminal,
    failed,
    is_terminal,
)
from llmstream.runs.log import RunLog
from llmstream.runs.metrics import Metrics
from llmstream.runs.places import Ticket


class _Place:
    """Its end frees a run's place: see `Running._hold_place`."""


_place: ContextVar[_Place | None] = ContextVar("_place", default=None)


class Running:
    """One run that goes on: its task, its place, its end."""

    def __init__(
        self,
        job: Job,
        ticket: Ticket,
        caller: str,
        *,
        log: RunLog,
        metrics: Metrics,
        on_end: Callable[[Running, Terminal], None],
    ) -> None:
        self.id = secrets.token_hex(16)
        self.caller = caller
        self.task: asyncio.Task[None] | None = None
        self._log, self._metrics, self._on_end = log, metrics, on_end
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
            self._on_end(self, last)  # type: ignore[arg-type]

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
            await self._log.close(self.id)
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
