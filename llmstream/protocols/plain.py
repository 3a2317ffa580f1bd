"""The plain-text dialect: each unnamed SSE message's data is a piece of the answer, to be appended as it is.

For clients that know nothing but SSE. `event: done` with empty data is the end, `event: FatalError` an error with a
message for a person. fetch-event-source drops a leading newline of a piece, so no piece begins with one: the last
character, with the newlines after it, is held back until the next text or the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmstream import sse
from llmstream.events import Cancelled, Event, Failed, Finished, Token

_STOPPED = {
    "stop": "The answer was stopped.",
    "left": "The answer was stopped: nobody was reading it.",
    "replaced": "The answer was replaced by a newer question.",
}


class PlainEncoder:
    """See `encoder.Encoder`; fed from the first event, because what is held back depends on what came before."""

    def __init__(self, run_id: str, after: int = 0) -> None:
        self.start = 0
        self._run_id = run_id
        self._after = after
        self._held = ""

    def encode(self, first: int, events: Sequence[Event]) -> bytes:
        """The frames of these events; a frame's id is the number of the event that completed it."""
        frames: list[str] = []
        for seq, event in enumerate(events, first):
            if isinstance(event, Token):
                frame = self._piece(seq, event.text)
            elif isinstance(event, Finished | Failed | Cancelled):
                frame = self._end(seq, event)
            else:
                continue
            if seq > self._after:
                frames.append(frame)
        return "".join(frames).encode()

    def _piece(self, seq: int, text: str) -> str:
        text = self._held + text
        last = len(text.rstrip("\n")) - 1
        if last < 1:  # nothing before the last character yet
            self._held = text
            return ""
        self._held = text[last:]
        return sse.encode(text[:last], id=self._id(seq))

    def _end(self, seq: int, event: Finished | Failed | Cancelled) -> str:
        held, self._held = self._held, ""
        piece = sse.encode(held) if held else ""
        if isinstance(event, Finished):
            # An empty `data` line, or a browser would not dispatch the event at all.
            return piece + sse.encode("", event="done", id=self._id(seq))
        message = event.message if isinstance(event, Failed) else _STOPPED[event.by]
        return piece + sse.encode(message, event="FatalError", id=self._id(seq))

    def _id(self, seq: int) -> str:
        return f"{self._run_id}-{seq}"

    def lost(self, reason: str) -> bytes:
        """A `FatalError`: this dialect has no other way to say it."""
        return sse.encode(
            f"This answer can't be continued from there ({reason}). Ask again.", event="FatalError"
        ).encode()
