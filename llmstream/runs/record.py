"""The record of one run in memory: its events, the followers that wait for more of them, and when the run is left."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Protocol

from llmstream.events import CancelledBy, Event, is_terminal
from llmstream.runs.continuing import Asked, can_continue
from llmstream.runs.log import NewRun, RunInfo

# How long a run waits for its first follower, in seconds, also where it has no grace after that.
UNCLAIMED_S = 5.0


class Waiting(Protocol):
    """A follower that waits for more events."""

    def wake(self) -> None:
        """Tells that there is more; called in the appending thread, or in the one that waits."""


class Followed:
    """The events of one run, from the first one on, and the followers that wait for more of them.

    closed: there will be none.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.bytes = 0
        self.closed = False
        self._lock = threading.Lock()
        # A new one with every change, so that the appending thread can go through it while another one changes it.
        self._followers: tuple[Waiting, ...] = ()

    def wake(self) -> None:
        """Wakes all followers: there is more, or never will be."""
        for follower in self._followers:
            follower.wake()

    def add(self, follower: Waiting) -> None:
        """Adds a follower, to be woken whenever there is more."""
        with self._lock:
            self._followers = (*self._followers, follower)

    def remove(self, follower: Waiting) -> None:
        """Removes a follower, which is woken no more."""
        with self._lock:
            self._followers = tuple(each for each in self._followers if each is not follower)

    def joined(self) -> None:
        """Counts a watcher that came; in any thread."""

    def left(self) -> None:
        """Counts a watcher that went; in any thread."""


class RunRecord(Followed):
    """A run of this process.

    chats: of which it is the last run. beside: about how many bytes it keeps beside its events.
    """

    def __init__(self, new: NewRun) -> None:
        super().__init__()
        self.new = new
        self.asked: Asked | None = None
        self.chats: set[tuple[str, str]] = set()
        self.beside = 0
        self.closed_at = 0.0
        self._watchers = 0
        self._cancelled = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(max(new.grace_s, UNCLAIMED_S), self._left)

    def info(self) -> RunInfo:
        return RunInfo(self.new.id, self.new.caller, 1, len(self.events), self.ended)

    @property
    def ended(self) -> bool:
        """True if nothing more will come; the owner may still be on its way to closing the run."""
        return self.closed or (bool(self.events) and is_terminal(self.events[-1]))

    def close(self) -> None:
        self.closed_at = time.monotonic()
        self.closed = True
        self.wake()
        self._stop_timer()

    def keep_to_continue(self) -> int:
        """Forgets the question of a run that can't be continued; returns about how many bytes another one's takes."""
        if self.asked is None or not can_continue(self.events[-1] if self.events else None):
            self.asked = None
            return 0
        if self.asked.job is None:  # what is left says why
            self.asked = dataclasses.replace(self.asked, question=None)
        return self.asked.bytes

    def cancel(self, by: CancelledBy) -> bool:
        if self.ended or self._cancelled:
            return False
        self._cancelled = True
        self._in_loop(lambda: self.new.on_cancel(by))
        return True

    def joined(self) -> None:
        self._in_loop(lambda: self._watch(1))

    def left(self) -> None:
        self._in_loop(lambda: self._watch(-1))

    def watch_elsewhere(self, change: int) -> None:
        if change > 0:
            self._cancelled = False
        self._watch(change)

    def _watch(self, change: int) -> None:
        self._watchers += change
        self._stop_timer()
        if self._watchers == 0 and not self.ended:
            self._timer = self._loop.call_later(self.new.grace_s, self._left)

    def _left(self) -> None:
        self.cancel("left")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _in_loop(self, call: Callable[[], None]) -> None:
        if threading.get_ident() == self._thread:
            call()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)
