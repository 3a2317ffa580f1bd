"""Numbered events of a run, as the frames of a stream that shows some of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as escape
from typing import Any

from llmstream.dialects.langgraph.messages import Transcript
from llmstream.events import Started
from llmstream.http.encoder import dumps, frame

CHANNELS = ("values", "messages", "tools", "lifecycle", "input", "custom")


@dataclass(frozen=True)
class Wanted:
    """A client's filter; since: the number of the last event that it has."""

    channels: Collection[str] = CHANNELS
    since: int = 0

    def shows(self, method: str, name: str = "") -> bool:
        """True if events of a method are wanted; name: of a custom one."""
        channel = method.partition(".")[0]  # that of `input.requested` is `input`
        return channel in self.channels or (channel == "custom" and f"custom:{name}" in self.channels)


ALL = Wanted()


def number_before(started: Started) -> int:
    """The number that all events of a run come after; that of an earlier run's last event is smaller.

    A run writes fewer than one event in a microsecond, and JavaScript's numbers hold the microseconds since 1970.
    """
    return int(started.created_at * 1_000_000)


class Frames:
    """Writes a run's events. What nobody wants is counted, and not written."""

    def __init__(self, run_id: str, wanted: Wanted) -> None:
        self._wanted = wanted
        # By this form of the id the newer SDK knows which run an event belongs to.
        self._id = f"synth:{run_id}:"
        self._count = self._base = self._timestamp = 0
        # Everything of a token's frame that does not change: it is written once per token.
        self._wants_deltas = wanted.shows("messages")
        self._head = f"id: {self._id}"
        self._middle = f'\ndata: {{"type":"event","event_id":"{self._id}'
        self._delta = ""

    def begin(self, started: Started) -> None:
        """Numbers what follows from the run's start on; the log knows no other times."""
        self._base, self._timestamp = number_before(started), int(started.created_at * 1000)

    def begin_block(self, kind: str, index: int) -> None:
        """The tokens that follow are of a block of this kind, the one at this place in its message."""
        self._delta = (
            f',"method":"messages","params":{{"namespace":[],"timestamp":{self._timestamp},"data":'
            f'{{"event":"content-block-delta","index":{index},"delta":{{"type":"{kind}-delta","{kind}":'
        )

    def delta(self, text: str) -> str:
        """The frame of the next event, a token of the block; empty where the client does not want it, or has it."""
        self._count = n = self._count + 1
        number = self._base + n
        if number <= self._wanted.since or not self._wants_deltas:
            return ""
        return f'{self._head}{n}{self._middle}{n}","seq":{number}{self._delta}{escape(text)}}}}}}}}}\n\n'

    def values(self, transcript: Transcript) -> str:
        """The frame of the next event: all messages of the thread."""
        # Whoever does not listen to them need not wait until they are put together.
        shown = list(transcript.told()) if self._wanted.shows("values") else []
        return self.write("values", {"messages": shown})

    def write(self, method: str, data: Mapping[str, Any]) -> str:
        """The frame of the next event; empty where the client does not want it, or has it."""
        self._count += 1
        number = self._base + self._count
        if number <= self._wanted.since or not self._wanted.shows(method, data.get("name", "")):
            return ""
        event_id = f"{self._id}{self._count}"
        params = {"namespace": [], "timestamp": self._timestamp, "data": data}
        fields = {"type": "event", "event_id": event_id, "seq": number, "method": method, "params": params}
        return f"id: {event_id}\ndata: {dumps(fields)}\n\n"


def error_frame(message: str) -> bytes:
    """An error of the stream itself."""
    return frame("error", id=None, error="unknown_error", message=message).encode("ascii")
