"""The native dialect: every event as one SSE message, `id: <run>-<seq>`, `event: <type>`, `data: {json}`."""

from __future__ import annotations

from collections.abc import Sequence
from json.encoder import encode_basestring_ascii as escape
from typing import Any

from llmstream import sse
from llmstream.events import Event, Reasoning, Reset, Started, Token, to_dict
from llmstream.http.encoder import RETRY, Encoder, dumps
from llmstream.runs.log import END_OF_LOST


class NativeEncoder(Encoder):
    """The `Encoder` of typed events."""

    numbered = True

    def __init__(self, run_id: str, after: int = 0) -> None:
        self.start = after
        self._run_id = run_id
        self._last = after
        # Everything of a token's frame that does not change: this is written once per token.
        self._head = f"id: {run_id}-"
        self._token = f'\nevent: token\ndata: {{"type":"token","run":"{run_id}","seq":'
        self._reasoning = f'\nevent: reasoning\ndata: {{"type":"reasoning","run":"{run_id}","seq":'

    def encode(self, first: int, events: Sequence[Event]) -> bytes:
        """The frames of these events."""
        head, token, reasoning = self._head, self._token, self._reasoning
        frames: list[str] = []
        for seq, event in enumerate(events, first):
            number = str(seq)
            if type(event) is Token and event.message is None:
                frames.append(f'{head}{number}{token}{number},"text":{escape(event.text)}}}\n\n')
            elif type(event) is Reasoning and event.message is None:
                frames.append(f'{head}{number}{reasoning}{number},"text":{escape(event.text)}}}\n\n')
            else:
                if type(event) is Started:
                    frames.append(RETRY)
                # The end of a lost run is beyond all numbers; to the client it is the one after what it has.
                shown = self._last + 1 if seq == END_OF_LOST else seq
                fields = native_dict(self._run_id, shown, event)
                frames.append(sse.encode(dumps(fields), event=fields["type"], id=f"{self._run_id}-{seq}"))
        self._last = first + len(events) - 1
        return "".join(frames).encode("ascii")

    def lost(self, reason: str) -> bytes:
        """An `event: reset`, which has no number."""
        fields = {"type": "reset", "run": self._run_id, "reason": Reset(reason).reason}
        return sse.encode(dumps(fields), event="reset").encode("ascii")


def native_dict(run_id: str, seq: int, event: Event) -> dict[str, Any]:
    """The event as the native dialect writes it: its type, run and number, then its own fields."""
    fields = to_dict(event)
    return {"type": fields.pop("type"), "run": run_id, "seq": seq, **fields}
