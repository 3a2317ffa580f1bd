"""A run of this process, and what the store lacks of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from llmstream.events import Event, is_terminal
from llmstream.runs.continuing import can_continue
from llmstream.runs.log import NewRun
from llmstream.runs.redis.store.codec import ENTRY_EVENTS, encode


def awake_and_asleep() -> float:
    """The seconds since some moment, also while the computer sleeps; on Linux, whatever its clock is set to."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.time()


# What one call brings of a run, in bytes, so that the others get their turn.
_CALL_BYTES = 64 * 2**10


@dataclass(frozen=True)
class News:
    """The part of a call that is about one run.

    entries: ids and contents; last: the number of the last event in them, or before them; length: of the run, then.
    ends: as the script that settles a run has it; size: about how many bytes it all is.
    """

    entries: Sequence[tuple[bytes, bytes]]
    last: int
    length: tuple[int, bool]
    ends: int
    question: bytes | None
    size: int

    @property
    def settles(self) -> bool:
        """True if it tells more than events."""
        return self.ends > 0 or self.question is not None


@dataclass
class Owned:
    """A run of this process.

    keys: meta, log, question, watchers, and its request's. events: all of its events, from when the store knows it.
    stored: the number up to which the store has them, and `known` the same as it stands in the store; ended_at: when it
    had all of them, in `time.monotonic`. question_stored: whether the store has what it was asked.
    followers: the processes to which its events are told, as the store has them; watched_elsewhere: whether somebody
    there wants it to go on. chats: of which it is or was the last run, by their keys: the one before it, and its note.
    """

    new: NewRun
    keys: Sequence[str]
    events: Sequence[Event] | None = None
    stored: int = 0
    known: bytes = b"0"
    closed: bool = False
    ended_at: float | None = None
    asked: bool = False
    question_stored: bool = False
    followers: bytes = b""
    watched_elsewhere: bool = False
    chats: dict[str, tuple[str, str]] = field(default_factory=dict)
    answered_at: float = field(default_factory=awake_and_asleep)

    @property
    def length(self) -> tuple[int, bool]:
        """The number of its last event, and whether it is closed."""
        return len(self.events or ()), self.closed

    def is_whole(self, last: int, *, closed: bool) -> bool:
        """True if nothing comes after its event with this number."""
        return closed or (last > 0 and self.events is not None and is_terminal(self.events[last - 1]))

    def news(self, question_of: Callable[[str], bytes | None]) -> News:
        """The news that bring the store up to date; question_of: None where nobody else may go on with an answer."""
        entries, last, size = self._entries()
        events, length = self.events or (), self.length
        is_end = last == length[0] and self.is_whole(last, closed=self.closed)
        may_go_on = not is_end or can_continue(events[-1] if events else None)
        is_needed = last > 0 and may_go_on and not self.question_stored
        question = question_of(self.new.id) if is_needed else None
        return News(entries, last, length, is_end + (is_end and may_go_on), question, size + len(question or b""))

    def _entries(self) -> tuple[list[tuple[bytes, bytes]], int, int]:
        """The entries that the store lacks, the number of their last event, and about how many bytes."""
        events, last, size = self.events or (), self.stored, 0
        entries: list[tuple[bytes, bytes]] = []
        for start in range(last, len(events), ENTRY_EVENTS):
            for count, data in encode(events[start : start + ENTRY_EVENTS]):
                last += count
                size += len(data)
                entries.append((b"%d-%d" % (last, count), data))
            if size >= _CALL_BYTES:
                break
        return entries, last, size

    def note_stored(self, known: bytes) -> None:
        """Takes note of how many events the store has; with fewer than before it may have lost the question, too."""
        stored = int(known.partition(b"-")[0].rstrip(b"+"))
        self.question_stored &= stored >= self.stored
        self.stored, self.known = stored, known
