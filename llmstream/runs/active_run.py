"""One run that goes on: its task, its place, its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack

from llmstream.core.generator import generate
from llmstream.core.job import Job
from llmstream.core.running.guard import chain_failed
from llmstream.errors import LlmstreamError
from llmstream.events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    Interrupted,
    Status,
    Terminal,
    failed,
    is_terminal,
)
from llmstream.ollama.forecast import about, progress_of
from llmstream.runs.end_hook import Record
from llmstream.runs.log import RunLog
from llmstream.runs.metrics import Metrics
from llmstream.runs.queue import Ticket
from llmstream.runs.redacted_failures import plain_event


class Running:
    """One run that goes on: its task, its place, its end.

    held: what nobody else may answer meanwhile. is_public: whether a failure is told plainly. record: what a hook is
    told of it at its end, if there is one. over: done once it has let go of everything, also where it never began.
    """

    def __init__(
        self,
        run_id: str,
        job: Job,
        ticket: Ticket,
        caller: str,
        *,
        log: RunLog,
        metrics: Metrics,
        on_end: Callable[[Running, Terminal], None],
    ) -> None:
        self.id = run_id
        self.caller = caller
        self.held = ExitStack()
        self.is_public = False
        self.record: Record | None = None
        self.over = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._log, self._metrics, self._on_end = log, metrics, on_end
        self._job = job
        self._ticket = ticket
        self._begun = False
        self._over = False
        self._cancelled_by: Terminal | None = None

    async def start(self) -> None:
        """Begins; returns when the task itself has logged `started`, so that from here on a cancellation is handled."""
        begun = asyncio.Event()
        self._task = asyncio.create_task(self._run(begun))
        await begun.wait()

    def cancel(self, event: Terminal) -> None:
        """Ends the run with this event, at once, whatever its task is doing; what the task still brings is dropped."""
        if not self._begun:
            self._cancelled_by = event  # a task that is cancelled before its first step would never log anything
        elif not self._over:
            self._append([event])
            if self._task is not None:
                self._task.cancel()

    def _append(self, events: list[Event]) -> None:
        if self._over:
            return
        last = events[-1]
        if self.is_public and isinstance(last, Failed | Status):
            events = [*events[:-1], plain_event(last)]
        if is_terminal(last):
            self._over = True
            if isinstance(last, Finished | Interrupted):
                self.release()  # first, so that who reads the end and asks again finds the place free
        self._log.append(self.id, events)
        self._metrics.observe(events)
        if self.record is not None:
            self.record.events += events
        if self._over:
            self._on_end(self, last)  # type: ignore[arg-type]

    async def _run(self, begun: asyncio.Event) -> None:
        try:
            self._append(self._job.beginning())
            self._begun = True
            begun.set()
            if self._cancelled_by is not None:
                return self._append([self._cancelled_by])
            queued_at = time.monotonic()
            await self._ticket.wait(
                lambda position, eta_s: self._append([_queued(position, eta_s, time.monotonic() - queued_at)])
            )
            await generate(self._job, self._append)
        except asyncio.CancelledError:
            self._append([Cancelled("stop")])  # the loop is going down: nobody else has ended the run
        except BaseException as error:
            ours = error if isinstance(error, LlmstreamError) else chain_failed(error)
            self._append([failed(ours)])
            if not isinstance(error, Exception):  # the whole process is to end
                raise
        finally:
            begun.set()  # also where not even the beginning could be logged: `start` waits for it
            try:
                await self._log.close(self.id)
            finally:
                self.release()
                self.over.set_result(None)

    def release(self) -> None:
        """Gives back the place, and what is held."""
        self._ticket.release()
        self.held.close()


def _queued(position: int, eta_s: float | None, waited_s: float) -> Status:
    place = f"Waiting for a place: number {position} in the queue"
    if eta_s is None:
        return Status("queued", f"{place}.", position)
    progress = progress_of(waited_s, eta_s)
    return Status("queued", f"{place}, {about(eta_s)}.", position, eta_s=round(eta_s, 1), progress=progress)
