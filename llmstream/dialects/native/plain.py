"""The plain-text dialect: each unnamed SSE message's data is a piece of the answer, to be appended as it is.

For clients that know nothing but SSE. `event: done` with empty data is the end, `event: FatalError` an error with a
message for a person. A blank line stands between messages, and a graph that waits for a person asks as text.
fetch-event-source drops a leading newline of a piece, so no piece begins with one: the last
character, with the newlines after it, is held back until the next text or the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmstream import sse
from llmstream.events import TERMINAL, Event, Finished, Interrupted, Reasoning, Started, Terminal, Token
from llmstream.http.encoder import RETRY, Encoder, cannot_continue
from llmstream.view.answer import OneText
from llmstream.view.ending import why_incomplete


class PlainEncoder(Encoder):
    """The `Encoder` of plain text; fed from the first event, because what is held back depends on what came before."""

    numbered = True

    def __init__(self, run_id: str, after: int = 0) -> None:
        self._run_id = run_id
        self._head = f"id: {run_id}-"
        self._after = after
        self._held = ""
        self._answer = OneText()

    def encode(self, first: int, events: Sequence[Event]) -> bytes:
        """The frames of these events.

        A piece's id is one less than the number of the event that completed it, because the end of that event's text
        is held back; so the last piece, which comes with the terminal event, has an id of its own too.
        """
        frames: list[str] = []
        answer = self._answer
        for seq, event in enumerate(events, first):
            if type(event) is Token:
                text = self._held + (event.text if event.message is answer.message else answer.text_of(event))
                if len(text) < 2 or "\n" in text or "\r" in text:
                    frames.append(self._frame(seq - 1, self._release(text)))
                else:  # the usual, without a detour: this is done once per token
                    self._held = text[-1]
                    if seq > self._after + 1:
                        frames.append(f"{self._head}{seq - 1}\ndata: {text[:-1]}\n\n")
            elif type(event) is not Reasoning:
                frames.append(self._rare(seq, event))
        return "".join(frames).encode()

    def _rare(self, seq: int, event: Event) -> str:
        if isinstance(event, Started) and seq > self._after:
            # An id before the first piece: who is cut while the model loads comes back to this run, too.
            return f"{RETRY}id: {self._id(0)}\n\n"
        text = self._answer.rare(event)
        if isinstance(event, TERMINAL):
            return self._frame(seq - 1, self._held + text) + self._end(seq, event)
        return ""

    def _release(self, text: str) -> str:
        """The part of a text that can be sent; its end is held back."""
        last = max(len(text.rstrip("\n")) - 1, 0)
        self._held = text[last:]
        return text[:last]

    def _frame(self, seq: int, text: str) -> str:
        return sse.encode(text, id=self._id(seq)) if text and seq > self._after else ""

    def _end(self, seq: int, event: Terminal) -> str:
        if isinstance(event, Finished | Interrupted):
            # An empty `data` line, or a browser would not dispatch the event at all.
            return sse.encode("", event="done", id=self._id(seq))
        return sse.encode(why_incomplete(event), event="FatalError", id=self._id(seq))

    def _id(self, seq: int) -> str:
        return f"{self._run_id}-{seq}"

    def lost(self, reason: str) -> bytes:
        """A `FatalError`: this dialect has no other way to say that the position is lost."""
        return sse.encode(cannot_continue(reason), event="FatalError").encode()
