"""A thread as a stream that stays open: its last run, and then each that is started, until the client leaves.

A client of this protocol takes the end of a stream for a failure, so between runs it is kept open by heartbeats, for as
long as a run may take: then it comes back, or is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from llmstream.dialects.langgraph.encoder import RunEncoder
from llmstream.dialects.langgraph.frames import Wanted, error_frame
from llmstream.dialects.langgraph.thread import Threads
from llmstream.errors import RunNotFound
from llmstream.events import Event, is_terminal
from llmstream.http.encoder import Encoder
from llmstream.runs.log import Batch, Follower, PositionLost

# After how long it is noticed that another process started a run, or that this one is going down.
_LOOK_S = 0.5


class ThreadStream(Encoder):
    """A caller's thread as `Service.follow` takes a run, and the encoder of whichever of its runs is shown."""

    id = ""  # of no run in particular
    numbered = True

    def __init__(self, threads: Threads, caller: str, thread: str, wanted: Wanted) -> None:
        self._threads = threads
        self._caller = caller
        self._thread = thread
        self._wanted = wanted
        self._encoder = RunEncoder("")
        self._shown = ""  # the run that was shown last

    def follower(self, after: int = 0, *, idle_s: float, watching: bool = True, at_least: int = 0) -> Follower:
        """The thread's runs, one after the other; see `Run.follower`."""
        return _ThreadFollower(self, idle_s)

    def encode(self, first: int, events: Sequence[Event]) -> bytes:
        """The bytes for a batch of events, as in `encoder.Encoder`."""
        return self._encoder.encode(first, events)

    def lost(self, reason: str) -> bytes:
        """An error that belongs to no command."""
        return error_frame(f"This thread can't be followed from there ({reason}).")

    def is_over(self, idle_s: float) -> bool:
        """True while the server shuts down, and where nothing began for as long as a run may take."""
        runs = self._threads.service.runs
        return runs.closing or idle_s >= runs.limits.max_run_s

    async def next_run(self, idle_s: float) -> Follower | None:
        """The run that is shown next; None where none was started for a moment."""
        found = await self._threads.last(self._caller, self._thread)
        if found is None or found[0].id == self._shown:
            await self._threads.wait(self._caller, self._thread, min(_LOOK_S, idle_s))
            return None
        run, before = found
        self._shown = run.id
        self._encoder = RunEncoder(run.id, before, wanted=self._wanted)
        try:
            return run.follower(idle_s=idle_s)
        except (PositionLost, RunNotFound):  # forgotten in this moment
            return None


class _ThreadFollower(Follower):
    def __init__(self, stream: ThreadStream, idle_s: float) -> None:
        self._stream = stream
        self._run: Follower | None = None
        self._ended = False  # whether the run told its end
        self._closed = False
        self._now = asyncio.get_running_loop().time
        self._idle_since = self._now()
        self.idle_s = idle_s

    async def __anext__(self) -> Batch:
        while not self._closed:
            if self._run is None:
                if self._stream.is_over(self._now() - self._idle_since):
                    break
                self._run = await self._stream.next_run(self.idle_s)
                if self._run is None:
                    return Batch(0, [])
            try:
                batch = await anext(self._run)
            except StopAsyncIteration:
                self._run.close()
                self._run, self._idle_since = None, self._now()
                if self._ended:
                    continue
                break  # the store lets go of it; the client comes back
            except (PositionLost, RunNotFound):
                self._run = None
                continue
            self._ended = bool(batch.events) and is_terminal(batch.events[-1])
            return batch
        raise StopAsyncIteration

    def close(self) -> None:
        self._closed = True
        if self._run is not None:
            self._run.close()
