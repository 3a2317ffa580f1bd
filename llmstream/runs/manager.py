"""The owner of the runs: starts them, stops them, and ends each with exactly one terminal event."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from typing import Any, Unpack

from llmstream.core.generator import make_job
from llmstream.core.job import Job
from llmstream.core.question.arguments import check_values
from llmstream.core.question.inputs import Arguments, Input
from llmstream.errors import OwnerLost, RunNotFound, ServerShutdown, StillRunning, TooManyRuns
from llmstream.events import Cancelled, Terminal, failed
from llmstream.runs.active_run import Running
from llmstream.runs.chain_warnings import warn_of
from llmstream.runs.continuing import Asked, continuing, cut_text
from llmstream.runs.end_hook import Ending, OnEnd, Record
from llmstream.runs.interrupt_locks import Answering
from llmstream.runs.live_settings import CurrentSettings
from llmstream.runs.log import NewRun, RunLog
from llmstream.runs.log_from_settings import open_log, warn_of_processes, worker_count
from llmstream.runs.metrics import Metrics
from llmstream.runs.queue import Places
from llmstream.runs.run import OnLeave, Run
from llmstream.runs.run_ids import OF_ANOTHER, RunIds
from llmstream.runs.stored_question import asked_again
from llmstream.settings import Settings

# How long a drain waits for `on_end` where the runs took all of the time.
_HOOKS_S = 1.0


class Runs:
    """The runs of this process: starts them and keeps them going; one instance per process is enough.

    Start runs from one event loop; follow and stop them from any.
    on_end: called behind each run that has ended; what it raises is logged, and ends nothing.
    identify: by which the endpoints tell whose a run is, where they do; every other surface on these runs asks it too.
    """

    def __init__(
        self, settings: Settings | None = None, *, log: RunLog | None = None, on_end: OnEnd | None = None
    ) -> None:
        check_values({"settings": settings})
        self._current = CurrentSettings(settings)
        self.log = log or open_log(self.limits)
        self.closing = False
        self.identify: Any = None
        self._places = Places(self.limits.max_active_runs, self.limits.max_queued_runs)
        self._running: dict[str, Running] = {}
        self._ids, self._answering = RunIds(), Answering()
        self._ending = None if on_end is None else Ending(on_end)
        self.metrics = Metrics(lambda: self._places.active, lambda: len(self._places.queue), self.log.figures)

    @property
    def settings(self) -> Settings:
        """The settings of the moment, see `CurrentSettings`."""
        return self._current.get()

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._current.put(settings)

    @property
    def limits(self) -> Settings:
        """The settings of the last look: all but the server and the model are always the same."""
        return self._current.seen

    async def start(
        self,
        question: Input,
        *,
        caller: str = "",
        request_key: str | None = None,
        fingerprint: str = "",
        on_leave: OnLeave = "cancel",
        grace_s: float | None = None,
        is_public: bool = False,
        chat: str = "",
        **arguments: Unpack[Arguments],
    ) -> Run:
        """Starts answering; returns when the run has logged its first event.

        caller: whom the run belongs to. request_key: starts at most one run per caller; with another `fingerprint` it
        raises `KeyConflict`. on_leave: what happens `grace_s` seconds after the last follower left. is_public:
        whether who reads the answer can't mend the server. chat: of which the caller makes it the last run. The other
        arguments are those of `astream`.
        Raises `Busy`, `ServerShutdown`, and what makes an answer impossible before it begins.
        """
        if (earlier := await self.earlier(caller, request_key, fingerprint)) is not None:
            return earlier
        self._check_open()
        check_values(arguments)
        arguments.setdefault("settings", self.settings)
        thread, resume = arguments.get("thread") or "", arguments.get("resume") or ()
        with self._answering.hold([(caller, thread, interrupt) for interrupt in resume], request_key) as held:
            job = await make_job(question, caller=caller, **arguments)
            warn_of(job)
            told = None if self._ending is None else question
            asked = Asked.of(job, told, arguments, self._grace_s(on_leave, grace_s), is_public, chat)
            return await self._begin(job, asked, caller, request_key, fingerprint, held)

    async def earlier(self, caller: str, key: str | None, fingerprint: str) -> Run | None:
        """The run that a caller's request has started before; raises `KeyConflict` where its key was another's."""
        found = None if key is None else await self.log.find(caller, key, fingerprint)
        return None if found is None else Run(self.log, found, self)

    async def continue_run(
        self,
        run_id: str,
        *,
        caller: str = "",
        request_key: str | None = None,
        is_public: bool = False,
        chain: object = None,
    ) -> Run:
        """Starts a run that begins with what a run said that was cut, and goes on from there with the same model.

        is_public, chain: those of `start`, needed where another process has begun the run.
        Raises `RunNotFound`, `StillRunning`, `InvalidRequest` with why it can't be continued, and what `start` raises.
        """
        fingerprint = f"continue {run_id}"
        if (earlier := await self.earlier(caller, request_key, fingerprint)) is not None:
            return earlier
        if not await (cut := await self.get(run_id, caller=caller)).has_ended():
            raise StillRunning("This run still goes on. Follow it, or stop it before you continue it.")
        events, _ = await cut.recorded()
        text = cut_text(run_id, events)
        if (asked := self.log.local.asked(run_id)) is None:
            data = await self.log.question(run_id)
            asked = await asked_again(data, chain, self.settings, is_public=is_public)
        last = await self.log.named(caller, asked.chat) if asked.chat else None
        job = await continuing(run_id, events, text, asked)
        with ExitStack() as nothing:
            run = await self._begin(job, asked, caller, request_key, fingerprint, nothing)
        if last is not None and last[0] == run_id and not await self.log.succeed(caller, asked.chat, run_id, run.id):
            await run.stop("replaced")  # somebody has asked something else in this chat meanwhile
        return run

    async def _begin(
        self, job: Job, asked: Asked, caller: str, key: str | None, fingerprint: str, held: ExitStack
    ) -> Run:
        """Starts a job, unless another request with the same key was faster; held: what nobody may answer meanwhile."""
        if (earlier := await self.earlier(caller, key, fingerprint)) is not None:
            return earlier  # it was started meanwhile, and must not count twice
        # Nothing is awaited between these checks and taking the place: others start runs at the same time.
        self._check_open()
        self._check_caller(caller)
        running = Running(
            self._ids.new(), job, self._places.take(), caller, log=self.log, metrics=self.metrics, on_end=self._ended
        )
        running.held, running.is_public = held.pop_all(), asked.is_public
        if self._ending is not None:
            running.record = Record(running.id, caller, asked.question, asked.thread)
        self._running[running.id] = running
        try:
            owned = await self.log.create(self._new_run(running.id, caller, key, fingerprint, asked.grace_s))
        except BaseException:
            self._forget(running)
            raise
        if owned != running.id:  # another request with the same key was faster
            self._forget(running)
            return Run(self.log, owned, self)
        self.log.local.keep(running.id, asked)
        await running.start()
        return Run(self.log, running.id, self)

    @property
    def active(self) -> list[str]:
        """The ids of the runs that go on."""
        return list(self._running)

    async def get(self, run_id: str, *, caller: str = "") -> Run:
        """The run with this id; raises `RunNotFound` for one that is unknown, expired, another caller's or server's."""
        info = await self.log.info(run_id, allow_stale=True)
        if info is None or info.caller != caller:
            is_alone = self.log is self.log.local and worker_count() == 1
            raise RunNotFound(OF_ANOTHER if is_alone and self._ids.are_foreign(run_id) else "")
        return Run(self.log, run_id, self, info)

    async def drain(self, timeout_s: float | None = None) -> None:
        """Refuses new runs, lets those that go on finish for a time, then fails the rest with `server_shutdown`.

        Returns when all of them have let go of their models, and a store that other processes share has their ends.
        `on_end` is waited for until `drain_s` has passed since the call, and for a second at least.
        """
        self.closing, began = True, time.monotonic()
        self.log.leave()
        if over := [running.over for running in self._running.values()]:
            await asyncio.wait(over, timeout=self.limits.drain_s if timeout_s is None else timeout_s)
            for running in list(self._running.values()):
                running.cancel(failed(ServerShutdown()))
            await asyncio.wait(over)
        if self._ending is not None:
            await self._ending.wait(max(began + self.limits.drain_s - time.monotonic(), _HOOKS_S))
        await self.log.aclose()

    async def reopen(self) -> None:
        """Takes new runs again after a `drain`: an app may be started more than once.

        Raises `SettingsError` where the store that processes share can't be used.
        """
        self.closing = False
        warn_of_processes(self.limits)
        await self.log.start()

    def _cancel(self, run_id: str, event: Terminal) -> None:
        if (running := self._running.get(run_id)) is not None:
            running.cancel(event)

    def _check_open(self) -> None:
        if self.closing:
            raise ServerShutdown

    def _forget(self, running: Running) -> None:
        """Forgets a run that was not begun."""
        del self._running[running.id]
        running.release()
        running.over.set_result(None)

    def _check_caller(self, caller: str) -> None:
        limit = self.limits.max_caller_runs
        if limit and sum(running.caller == caller for running in self._running.values()) >= limit:
            raise TooManyRuns(f"You have {limit} answers under way, as many as one caller may. Wait for one to end.")

    def _new_run(self, run_id: str, caller: str, key: str | None, fingerprint: str, grace_s: float) -> NewRun:
        return NewRun(  # holds nothing of the run itself, since the log keeps it as long as the events
            id=run_id,
            caller=caller,
            key=key,
            fingerprint=fingerprint,
            grace_s=grace_s,
            on_cancel=lambda by: self._cancel(run_id, Cancelled(by)),
            on_lost=lambda: self._cancel(run_id, failed(OwnerLost())),
            caller_limit=self.limits.max_caller_runs,
        )

    def _grace_s(self, on_leave: OnLeave, grace_s: float | None) -> float:
        if on_leave == "continue":
            return self.limits.max_unwatched_s
        return self.limits.grace_s if grace_s is None else grace_s

    def _ended(self, running: Running, event: Terminal) -> None:
        """Forgets a run that has logged its terminal event."""
        self._running.pop(running.id, None)
        self.metrics.ended(event)
        if self._ending is not None and running.record is not None:
            self._ending.begin(running.record)
