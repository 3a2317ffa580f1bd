"""The places for generations that go on at once, and the queue in front of them."""

from __future__ import annotations

import asyncio
import heapq
import statistics
import time
from collections import deque
from collections.abc import Callable

from llmstream.errors import Busy

# How often a person is told how long the wait will take.
_AGAIN_S = 1.0
# The last runs, by which it is guessed how long the next ones take; one that goes on beyond it takes a share more.
_RUNS, _MORE = 20, 0.25

# Takes the position in the queue, and the seconds until it is over, None where they can't be told.
Tell = Callable[[int, float | None], None]


class Places:
    """`active` places, and a queue for `queued` more, first come first served.

    told_from_s: how long a wait must be for it to be told how long it will take. clock: in seconds.
    """

    def __init__(
        self, active: int, queued: int, *, told_from_s: float = 3, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = active
        self._queue_limit = queued
        self.told_from_s = told_from_s
        self._clock = clock
        self._entered_at: dict[Ticket, float] = {}
        self._took_s: deque[float] = deque(maxlen=_RUNS)
        self.queue: list[Ticket] = []

    @property
    def active(self) -> int:
        """The number of places that are taken."""
        return len(self._entered_at)

    def take(self) -> Ticket:
        """A ticket with a place, or with a position in the queue; raises `Busy` where the queue is full too."""
        ticket = Ticket(self)
        if self.active < self._limit and not self.queue:
            self._let_in(ticket)
        elif len(self.queue) < self._queue_limit:
            self.queue.append(ticket)
        else:
            raise Busy(
                f"All {self._limit} places and the queue of {self._queue_limit} are taken. Ask again in a moment."
            )
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Takes back a place, or a position in the queue; the next ones move up, and are told."""
        if ticket in self._entered_at:
            self._took_s.append(self._clock() - self._entered_at.pop(ticket))
        else:
            self.queue.remove(ticket)
        while self.queue and self.active < self._limit:
            self._let_in(self.queue.pop(0))
        for position, (each, eta_s) in enumerate(zip(self.queue, self.etas(len(self.queue)), strict=True), 1):
            each.tell(position, eta_s)

    def _let_in(self, ticket: Ticket) -> None:
        self._entered_at[ticket] = self._clock()
        ticket.enter()

    def etas(self, count: int) -> list[float | None]:
        """The seconds that the first ones in the queue will wait, about; None where no run has ended, or soon."""
        if not (self._took_s and self._entered_at):
            return [None] * count
        now, mean_s = self._clock(), statistics.fmean(self._took_s)
        ends_s = [max(at - now + mean_s, mean_s * _MORE) for at in self._entered_at.values()]
        heapq.heapify(ends_s)
        etas: list[float | None] = []
        for _ in range(count):
            eta_s = heapq.heapreplace(ends_s, ends_s[0] + mean_s)
            etas.append(eta_s if eta_s >= self.told_from_s else None)
        return etas


class Ticket:
    """The place of one run, or its position in the queue; `release` gives it back in either case."""

    def __init__(self, places: Places) -> None:
        self.entered = False
        self.released = False
        self._places = places
        self._ready: asyncio.Future[None] | None = None
        self._tell: Tell | None = None

    async def wait(self, tell: Tell) -> None:
        """Waits until the place is there; `tell` is called at once, and when the position changes.

        Where it is known how long it takes, also about once a second.
        """
        if self.entered:
            return
        self._tell = tell
        self._ready = asyncio.get_running_loop().create_future()
        self._look(always=True)
        pause_s = self._places.told_from_s
        while not self._ready.done():
            await asyncio.wait([self._ready], timeout=pause_s)
            pause_s = _AGAIN_S
            self._look()

    def _look(self, *, always: bool = False) -> None:
        if self in self._places.queue:
            position = self._places.queue.index(self) + 1
            eta_s = self._places.etas(position)[-1]
            if always or eta_s is not None:
                self.tell(position, eta_s)

    def tell(self, position: int, eta_s: float | None) -> None:
        """Tells the position, and how long it will be."""
        if self._tell is not None:
            self._tell(position, eta_s)

    def enter(self) -> None:
        """Ends the waiting: the place is there."""
        self.entered = True
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def release(self) -> None:
        """Gives the place back; more than once does no harm."""
        if not self.released:
            self.released = True
            self._places.leave(self)
