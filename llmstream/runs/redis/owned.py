"""A run of this process, and what the store has of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from llmstream.events import Event
from llmstream.runs.log import NewRun


@dataclass
class Owned:
    """A run of this process.

    events: all of its events, from when the store knows it. stored: the number up to which the store has them;
    ended_at: when it had all of them, in `time.monotonic`. question_sent, question_stored: whether what it was asked
    went with the last call, and whether the store has it.
    """

    new: NewRun
    events: Sequence[Event] | None = None
    stored: int = 0
    closed: bool = False
    ended_at: float | None = None
    asked: bool = False
    question_sent: bool = False
    question_stored: bool = False
    watched_elsewhere: bool = False
    answered_at: float = field(default_factory=time.time)

    def note_stored(self, stored: int) -> None:
        """Takes note of how many events the store has; with fewer than before it may have lost the question, too."""
        had_question = self.question_stored and stored >= self.stored
        self.question_stored = stored > 0 and (self.question_sent or had_question)
        self.stored = stored
