"""Server-sent events: text ↔ messages, by the HTML standard (9.2.6); pure, no I/O.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import codecs
import re

import msgspec

# What an event name or id may be made of: no line end can enter a frame through them, and an id of these
# characters makes no cross-origin reconnect send a CORS preflight.
_NAME = re.compile(r"[0-9A-Za-z_-]*\Z")
_LINE_END = re.compile(r"\r\n|\n|\r")


class Message(msgspec.Struct, frozen=True):
    """One dispatched message; `id` is the last event id at that moment."""

    event: str
    data: str
    id: str


def encode(data: str, *, event: str = "", id: str = "") -> str:
    """One frame: `id`, `event`, one `data` line per line of the data, and the blank line that dispatches it.

    `event` and `id` hold letters, digits, `_` and `-` only; anything else raises ValueError.
    """
    if not _NAME.match(event) or not _NAME.match(id):
        raise ValueError(f"an SSE event name or id holds letters, digits, _ and - only, got {event!r}, {id!r}")
    head = (f"id: {id}\n" if id else "") + (f"event: {event}\n" if event else "")
    return head + "".join(f"data: {line}\n" for line in _LINE_END.split(data)) + "\n"


class Decoder:
    """Bytes in, messages out; a message broken off by the end of the stream is not dispatched."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_ms: int | None = None
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._first = True
        self._after_cr = False
        self._event = ""
        self._data: list[str] = []
        self._id = ""

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages completed by these bytes."""
        text = self._utf8.decode(chunk)
        if not text:
            return []
        if self._first:
            self._first = False
            text = text.removeprefix("\ufeff")
        # A \r ends its line at once; a \n that comes with the next bytes belongs to it.
        if self._after_cr:
            text = text.removeprefix("\n")
        self._after_cr = text.endswith("\r")
        *lines, self._rest = _LINE_END.split(self._rest + text)
        return [message for line in lines if (message := self._line(line)) is not None]

    def _line(self, line: str) -> Message | None:
        if not line:
            return self._dispatch()
        if line.startswith(":"):
            return None
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._event = value
        elif field == "id" and "\0" not in value:
            self._id = value
        elif field == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)
        return None

    def _dispatch(self) -> Message | None:
        self.last_id = self._id
        event, data = self._event, self._data
        self._event, self._data = "", []
        return Message(event or "message", "\n".join(data), self.last_id) if data else None
