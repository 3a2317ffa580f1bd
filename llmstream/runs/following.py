"""A run that is followed from before its beginning: it may be stopped or left while it is only being started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from llmstream.events import Cancelled, CancelledBy, Event
from llmstream.runs.run import Run


class Following:
    """A run that is started, followed and stopped by one who shows it; in one event loop, but for `stop`.

    start: starts it. run: None until it has begun. stops: whether leaving it stops the run, whatever its grace.
    """

    def __init__(self, start: Callable[[], Coroutine[Any, Any, Run]], *, stops: bool = True) -> None:
        self.run: Run | None = None
        self._stops = stops
        self._start = start
        self._is_stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def run_id(self) -> str:
        """The run's id, empty until it has begun."""
        return self.run.id if self.run is not None else ""

    def stop(self) -> None:
        """Ends the run, also while it is only being started; from any thread, and from a signal handler."""
        self._is_stopped = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop)

    async def lists(self, idle_s: float) -> AsyncGenerator[Sequence[Event], None]:
        """Starts the run; its events, in lists, an empty one after `idle_s` seconds of silence; the last is terminal.

        Raises what made the run impossible. Closing this leaves the run.
        """
        self._loop = asyncio.get_running_loop()
        self._stopped = self._loop.create_future()
        self._starting = asyncio.create_task(self._start())
        if self._is_stopped:
            self._stop()
        try:
            while not (self._starting.done() or self._stopped.done()):
                yield []
                either: list[asyncio.Future[Any]] = [self._starting, self._stopped]
                await asyncio.wait(either, timeout=idle_s, return_when=asyncio.FIRST_COMPLETED)
            if not self._starting.done():
                yield [Cancelled("stop")]
                return
            self.run = self._starting.result()
            follower = self.run.follower(idle_s=idle_s)
            try:
                async for batch in follower:
                    yield batch.events
            finally:
                follower.close()
        finally:
            if self._stops or self._is_stopped:
                _leave(self._starting)
            else:
                _keep(self._starting)

    def _stop(self) -> None:
        if not self._stopped.done():
            self._stopped.set_result(None)
            _leave(self._starting, "stop")


# Runs that are left while they are being started, and what stops them.
_going: set[asyncio.Future[Any]] = set()


def _keep(starting: asyncio.Future[Run]) -> None:
    """Lets a run go on being started: whoever holds no reference to a task may lose it."""
    _going.add(starting)
    starting.add_done_callback(_kept)


def _kept(started: asyncio.Future[Run]) -> None:
    _going.discard(started)
    if not started.cancelled():
        started.exception()  # that nobody waits for is no news


def _leave(starting: asyncio.Future[Run], by: CancelledBy = "left") -> None:
    """Stops the run at once, or as soon as it has begun; for the event loop that starts it."""
    _going.add(starting)
    starting.add_done_callback(partial(_stop, by=by))


def _stop(started: asyncio.Future[Run], by: CancelledBy) -> None:
    _going.discard(started)
    if not started.cancelled() and started.exception() is None:
        stopping = asyncio.ensure_future(started.result().stop(by))
        _going.add(stopping)
        stopping.add_done_callback(_going.discard)
