"""A run of this process, and what the store lacks of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmstream.events import Event, is_terminal
from llmstream.runs.continuing import can_continue
from llmstream.runs.log import NewRun
from llmstream.runs.redis.codec import encode


def awake_and_asleep() -> float:
    """The seconds since some moment, also while the computer sleeps; on Linux, whatever its clock is set to."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.time()


# What one call brings of a run, in bytes, so that the others get their turn.
_CALL_BYTES = 64 * 2**10


@dataclass
class Owned:
    """A run of this process.

    keys: meta, log, question, and those that its end takes besides. events: all of its events, from when the store
    knows it. stored: the number up to which the store has them; ended_at: when it had all of them, in `time.monotonic`.
    question_sent, question_stored: whether what it was asked went with the last call, and whether the store has it.
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
    question_sent: bool = False
    question_stored: bool = False
    followed_elsewhere: bool = False
    watched_elsewhere: bool = False
    answered_at: float = field(default_factory=awake_and_asleep)

    @property
    def length(self) -> tuple[int, bool]:
        """The number of its last event, and whether it is closed."""
        return len(self.events or ()), self.closed

    def is_whole(self, last: int, *, closed: bool) -> bool:
        """True if nothing comes after its event with this number."""
        return closed or (last > 0 and self.events is not None and is_terminal(self.events[last - 1]))

    def call(self, question_of: Callable[[str], bytes | None]) -> tuple[Sequence[str], list[Any], int]:
        """The keys and arguments of the append script that bring the store up to date, and about how many bytes.

        question_of: what a run was asked; None where nobody else may go on with its answer.
        """
        entries, last, size = self._entries()
        events = self.events or ()
        ends = last == len(events) and self.is_whole(last, closed=self.closed)
        may_go_on = not ends or can_continue(events[-1] if events else None)
        is_needed = last > 0 and may_go_on and not self.question_stored
        question = question_of(self.new.id) if is_needed else None
        self.question_sent = question is not None
        keys = self.keys if ends else self.keys[: 3 if question else 2]
        end = (1 + may_go_on, last) if ends else (0, -1)
        return keys, [*end, question or b"", len(entries) // 3, *entries], size + len(question or b"")

    def _entries(self) -> tuple[list[Any], int, int]:
        """The entries that the store lacks, as arguments, the number of the last one, and about how many bytes."""
        events, last, size = self.events or (), self.stored, 0
        entries: list[Any] = []
        for start in range(last, len(events), 256):
            for count, data in encode(events[start : start + 256]):
                last += count
                size += len(data)
                entries += (last, count, data)
            if size >= _CALL_BYTES:
                break
        return entries, last, size

    def note_stored(self, stored: int) -> None:
        """Takes note of how many events the store has; with fewer than before it may have lost the question, too."""
        had_question = self.question_stored and stored >= self.stored
        self.question_stored = stored > 0 and (self.question_sent or had_question)
        self.stored = stored
