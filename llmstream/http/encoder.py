"""The contract of a dialect's encoder."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from llmstream.events import Event

# One newline each: a blank line after a comment would dispatch an empty message in some clients.
OPEN = b": open\n"
HEARTBEAT = b": ping\n"

# How long an EventSource waits before it comes back, in ms: browsers' own 3 to 5 s may be longer than a run's grace.
RETRY = "retry: 1000\n"

# The end of a stream, where a protocol has it.
DONE = "data: [DONE]\n\n"

# An object as JSON on one line, in ASCII.
dumps = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


def frame(kind: str, **fields: Any) -> str:
    """A message without a name or an id, whose data is an object of this type."""
    return f"data: {dumps({'type': kind, **fields})}\n\n"


def named_frame(kind: str, **fields: Any) -> str:
    """A message without an id, whose data is an object of this type, and whose name is the type."""
    return f"event: {kind}\n{frame(kind, **fields)}"


def cannot_continue(reason: str) -> str:
    """The sentence for a client whose position can't be honoured."""
    return f"This answer can't be continued from there ({reason}). Ask again."


class Encoder(ABC):
    """Turns batches of one run's events into bytes, for a client that has everything up to `after`.

    start: the number after which it must be fed. An encoder with a memory is fed from the first event (0) and drops
    what the client already has. numbered: whether the client can come back with the id of what it had last.
    heartbeat: what is sent when nothing else was for a while.
    """

    start: int = 0
    numbered: bool = False
    heartbeat: bytes = HEARTBEAT

    @abstractmethod
    def encode(self, first: int, events: Sequence[Event]) -> bytes:
        """The bytes for events numbered from `first` on; may be empty."""

    @abstractmethod
    def lost(self, reason: str) -> bytes:
        """The bytes that tell the client that its position can't be honoured."""
