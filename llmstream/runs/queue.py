"""The places for generations that go on at once, and the queue in front of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from llmstream.errors import Busy


class Places:
    """`active` places, and a queue for `queued` more, first come first served."""

    def __init__(self, active: int, queued: int) -> None:
        self._limit = active
        self._queue_limit = queued
        self.active = 0
        self.queue: list[Ticket] = []

    def take(self) -> Ticket:
        """A ticket with a place, or with a position in the queue; raises `Busy` where the queue is full too."""
        ticket = Ticket(self)
        if self.active < self._limit and not self.queue:
            self.active += 1
            ticket.entered = True
        elif len(self.queue) < self._queue_limit:
            self.queue.append(ticket)
        else:
            raise Busy(
                f"All {self._limit} places and the queue of {self._queue_limit} are taken. Ask again in a moment."
            )
        return ticket

    def advance(self) -> None:
        """Lets in those who are next, and tells the others their position."""
        while self.queue and self.active < self._limit:
            self.active += 1
            self.queue.pop(0).enter()
        for ticket in self.queue:
            ticket.moved()


class Ticket:
    """The place of one run, or its position in the queue; `release` gives it back in either case."""

    def __init__(self, places: Places) -> None:
        self.entered = False
        self.released = False
        self._places = places
        self._ready: asyncio.Future[None] | None = None
        self._tell: Callable[[int], None] | None = None

    async def wait(self, tell: Callable[[int], None]) -> None:
        """Waits until the place is there; `tell` gets the position in the queue, at once and when it changes."""
        if self.entered:
            return
        self._tell = tell
        self._ready = asyncio.get_running_loop().create_future()
        self.moved()
        await self._ready

    def moved(self) -> None:
        """Tells the position, which has changed."""
        if self._tell is not None and self in self._places.queue:
            self._tell(self._places.queue.index(self) + 1)

    def enter(self) -> None:
        """Ends the waiting: the place is there."""
        self.entered = True
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def release(self) -> None:
        """Gives the place back; more than once does no harm."""
        if self.released:
            return
        self.released = True
        if self.entered:
            self._places.active -= 1
        else:
            self._places.queue.remove(self)
        self._places.advance()
