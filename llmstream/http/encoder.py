"""What a dialect's encoder promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from llmstream.events import Event

# One newline each: a blank line after a comment would dispatch an empty message in some clients.
OPEN = b": open\n"
HEARTBEAT = b": ping\n"

# How long an EventSource waits before it comes back, in ms: browsers' own 3 to 5 s may be longer than a run's grace.
RETRY = "retry: 1000\n"


class Encoder(Protocol):
    """Turns batches of one run's events into bytes, for a client that has everything up to `after`.

    start: the number after which it must be fed. An encoder with a memory is fed from the first event (0) and drops
    what the client already has. numbered: whether the client can come back with the id of what it had last.
    """

    start: int
    numbered: bool

    def encode(self, first: int, events: Sequence[Event]) -> bytes:
        """The bytes for events numbered from `first` on; may be empty."""
        ...

    def lost(self, reason: str) -> bytes:
        """What tells the client that its position can't be honoured."""
        ...
