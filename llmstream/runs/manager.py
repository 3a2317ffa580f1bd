"""The owner of the runs: starts them, stops them, and ends each with exactly one terminal event."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
import time
from itertools import pairwise
from typing import Any, Unpack

from llmstream.core.generator import prepare
from llmstream.core.inputs import Arguments, Input
from llmstream.errors import OwnerLost, RunNotFound, ServerShutdown, TooManyRuns
from llmstream.events import (
    Cancelled,
    CancelledBy,
    Terminal,
    failed,
)
from llmstream.logger import logger
from llmstream.runs.active_run import Running
from llmstream.runs.chain_warnings import warn_of
from llmstream.runs.ended import Ending, OnEnd, Record
from llmstream.runs.interrupt_locks import Answering
from llmstream.runs.log import NewRun, RunLog
from llmstream.runs.memory import MemoryLog
from llmstream.runs.metrics import Metrics
from llmstream.runs.queue import Places
from llmstream.runs.run import OnLeave, Run
from llmstream.settings import Settings

# How long a drain waits for `on_end` where the runs took all of the time.
_HOOKS_S = 1.0


def open_log(settings: Settings) -> RunLog:
    """The log that the settings name: this process's memory, or the store it shares with others.

    Raises `ImportError` with what to install, and `SettingsError` for an address that is none.
    """
    if settings.redis_url is None:
        return MemoryLog(replay_s=settings.replay_s, max_log_bytes=settings.max_log_bytes)
    try:
        from llmstream.runs.redis.log import RedisLog
    except ModuleNotFoundError as error:
        raise ImportError('redis_url (LLMSTREAM_REDIS_URL) needs: pip install "llmstream-toolkit[redis]"') from error
    return RedisLog(settings)


class Runs:
    """The runs of this process: starts them and keeps them going; one instance per process is enough.

    Start runs from one event loop; follow and stop them from any.
    on_end: called behind each run that has ended; what it raises is logged, and ends nothing.
    identify: by which the endpoints tell whose a run is, where they do; every other surface on these runs asks it too.
    """

    def __init__(
        self, settings: Settings | None = None, *, log: RunLog | None = None, on_end: OnEnd | None = None
    ) -> None:
        self.settings = settings or Settings()
        self.log = log or open_log(self.settings)
        self.closing = False
        self.identify: Any = None
        self._places = Places(self.settings.max_active_runs, self.settings.max_queued_runs)
        self._running: dict[str, Running] = {}
        self._answering = Answering()
        self._ending = None if on_end is None else Ending(on_end)
        self.metrics = Metrics(lambda: self._places.active, lambda: len(self._places.queue), self.log.figures)

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
        **arguments: Unpack[Arguments],
    ) -> Run:
        """Starts answering; returns when the run has logged its first event.

        caller: whom the run belongs to. request_key: starts at most one run per caller; with another `fingerprint` it
        raises `KeyConflict`. on_leave: what happens `grace_s` seconds after the last follower left. is_public:
        whether who reads the answer can't mend the server. The other arguments are those of `astream`.
        Raises `Busy`, `ServerShutdown`, and what makes an answer impossible before it begins.
        """
        if (earlier := await self._find(caller, request_key, fingerprint)) is not None:
            return earlier
        self._check_open()
        arguments.setdefault("settings", self.settings)
        thread, resume = arguments.get("thread") or "", arguments.get("resume") or ()
        with self._answering.hold([(caller, thread, interrupt) for interrupt in resume], request_key) as held:
            job = await prepare(question, caller=caller, **arguments)
            warn_of(job)
            if (earlier := await self._find(caller, request_key, fingerprint)) is not None:
                return earlier  # it was started meanwhile, and must not count twice
            # Nothing is awaited between these checks and taking the place: others start runs at the same time.
            self._check_open()
            self._check_caller(caller)
            ticket = self._places.take()
            running = Running(job, ticket, caller, log=self.log, metrics=self.metrics, on_end=self._ended)
            running.held, running.is_public = held.pop_all(), is_public
            if self._ending is not None:
                running.record = Record(running.id, caller, question, arguments.get("thread"))
        self._running[running.id] = running
        try:
            new = self._new_run(running, request_key, fingerprint, self._grace_s(on_leave, grace_s))
            owned = await self.log.create(new)
        except BaseException:
            self._forget(running)
            raise
        if owned != running.id:  # another request with the same key was faster
            self._forget(running)
            return Run(self.log, owned)
        await running.start()
        return Run(self.log, running.id)

    @property
    def active(self) -> list[str]:
        """The ids of the runs that go on."""
        return list(self._running)

    async def get(self, run_id: str, *, caller: str = "") -> Run:
        """The run with this id; raises `RunNotFound` for one that is unknown, expired or another caller's."""
        info = await self.log.info(run_id)
        if info is None or info.caller != caller:
            raise RunNotFound
        return Run(self.log, run_id)

    async def drain(self, timeout_s: float | None = None) -> None:
        """Refuses new runs, lets those that go on finish for a time, then fails the rest with `server_shutdown`.

        Returns when all of them have let go of their models, and a store that other processes share has their ends.
        `on_end` is waited for until `drain_s` has passed since the call, and for a second at least.
        """
        self.closing, began = True, time.monotonic()
        self.log.leave()
        tasks = [running.task for running in self._running.values() if running.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=self.settings.drain_s if timeout_s is None else timeout_s)
            for running in list(self._running.values()):
                running.cancel(failed(ServerShutdown()))
            await asyncio.wait(tasks)
        if self._ending is not None:
            await self._ending.wait(max(began + self.settings.drain_s - time.monotonic(), _HOOKS_S))
        await self.log.aclose()

    async def reopen(self) -> None:
        """Takes new runs again after a `drain`: an app may be started more than once.

        Raises `SettingsError` where the store that processes share can't be used.
        """
        self.closing = False
        if self.settings.redis_url is None and (count := _worker_count()) > 1:
            logger.warning(
                "there are %d processes, and each knows its own runs only: who comes back to another one is told that "
                "there is no such run. Set LLMSTREAM_REDIS_URL, which all of them share, or run one process.",
                count,
            )
        await self.log.start()

    async def _find(self, caller: str, key: str | None, fingerprint: str) -> Run | None:
        found = None if key is None else await self.log.find(caller, key, fingerprint)
        return None if found is None else Run(self.log, found)

    def _cancel(self, run_id: str, by: CancelledBy) -> None:
        running = self._running.get(run_id)
        if running is not None:
            running.cancel(Cancelled(by))

    def _lose(self, run_id: str) -> None:
        running = self._running.get(run_id)
        if running is not None:
            running.cancel(failed(OwnerLost()))

    def _check_open(self) -> None:
        if self.closing:
            raise ServerShutdown

    def _forget(self, running: Running) -> None:
        """Forgets a run that was not begun."""
        del self._running[running.id]
        running.release()

    def _check_caller(self, caller: str) -> None:
        limit = self.settings.max_caller_runs
        if limit and sum(running.caller == caller for running in self._running.values()) >= limit:
            raise TooManyRuns(f"You have {limit} answers under way, as many as one caller may. Wait for one to end.")

    def _new_run(self, running: Running, key: str | None, fingerprint: str, grace_s: float) -> NewRun:
        return NewRun(
            id=running.id,
            caller=running.caller,
            key=key,
            fingerprint=fingerprint,
            grace_s=grace_s,
            on_cancel=functools.partial(self._cancel, running.id),
            on_lost=functools.partial(self._lose, running.id),
            caller_limit=self.settings.max_caller_runs,
        )

    def _grace_s(self, on_leave: OnLeave, grace_s: float | None) -> float:
        if on_leave == "continue":
            return self.settings.max_unwatched_s
        return self.settings.grace_s if grace_s is None else grace_s

    def _ended(self, running: Running, event: Terminal) -> None:
        """Forgets a run that has logged its terminal event."""
        self._running.pop(running.id, None)
        self.metrics.ended(event)
        if self._ending is not None and running.record is not None:
            self._ending.begin(running.record)


def _worker_count() -> int:
    """The number of processes to start, by `WEB_CONCURRENCY` or `--workers` of uvicorn and gunicorn."""
    words = [*sys.argv[1:], ""]
    said = [os.environ.get("WEB_CONCURRENCY", "")]
    for word, following in pairwise(words):
        name, _, value = word.partition("=")
        if name in ("--workers", "-w"):
            said.append(value or following)
    return max((int(text) for text in said if text.isdecimal()), default=1)
