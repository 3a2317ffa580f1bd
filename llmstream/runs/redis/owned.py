"""A run of this process, and what the store lacks of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llmstream.events import Event, is_terminal
from llmstream.runs.log import NewRun
from llmstream.runs.redis.codec import encode

# What one call brings of a run, in bytes, so that the others get their turn.
_CALL_BYTES = 64 * 2**10


@dataclass
class Owned:
    """A run of this process.

    keys: meta and log, and those that its end takes besides. events: all of its events, from when the store knows it.
    stored: the number up to which the store has them; ended_at: when it had all of them, in `time.monotonic`.
    followed_elsewhere: whether each of its events is told to other processes; watched_elsewhere: whether somebody there
    wants it to go on.
    """

    new: NewRun
    keys: Sequence[str]
    events: Sequence[Event] | None = None
    stored: int = 0
    closed: bool = False
    ended_at: float | None = None
    asked: bool = False
    followed_elsewhere: bool = False
    watched_elsewhere: bool = False
    answered_at: float = field(default_factory=time.time)

    @property
    def length(self) -> tuple[int, bool]:
        """The number of its last event, and whether it is closed."""
        return len(self.events or ()), self.closed

    def is_whole(self, last: int, *, closed: bool) -> bool:
        """True if nothing comes after its event with this number."""
        return closed or (last > 0 and self.events is not None and is_terminal(self.events[last - 1]))

    def entries(self) -> tuple[bool, list[Any], int]:
        """The entries that the store lacks: whether they end the run, the script's arguments, about how many bytes."""
        events, last, size = self.events or (), self.stored, 0
        entries: list[Any] = []
        for start in range(last, len(events), 256):
            for count, data in encode(events[start : start + 256]):
                last += count
                size += len(data)
                entries += (last, count, data)
            if size >= _CALL_BYTES:
                break
        ends = last == len(events) and self.is_whole(last, closed=self.closed)
        return ends, [int(ends), len(entries) // 3, *entries], size
