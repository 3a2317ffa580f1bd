"""Anthropic's Messages as a stream of content blocks.

Source: https://docs.anthropic.com/en/docs/build-with-claude/streaming, and what the official clients raise on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii as escape

from llmstream.dialects.anthropic.message import call_block, error_body, message, reason_of, usage_of
from llmstream.events import Cancelled, Event, Failed, Finished, Interrupted, Reasoning, Started, Token, Usage
from llmstream.http.encoder import Encoder, cannot_continue, dumps, named_frame
from llmstream.view.client_answer import ClientAnswer
from llmstream.view.ending import why_incomplete

# Claude Code takes a silence of some minutes for a dead connection, and comments for silence.
PING = b'event: ping\ndata: {"type": "ping"}\n\n'


class MessagesEncoder(Encoder):
    """The `Encoder` of Messages; fed from the first event: a call is told once nobody here answered it.

    model: the name the client used. max_calls: how many calls it takes at once; None for any number.
    """

    heartbeat = PING

    def __init__(self, run_id: str, *, model: str, max_calls: int | None = None) -> None:
        self._run_id = run_id
        self._model = model
        self._answer = ClientAnswer(max_calls)
        self._index = 0
        self._open: type[Event] | None = None  # what the block that is open holds
        self._delta = ""

    def encode(self, first: int, events: Sequence[Event]) -> bytes:
        """The messages for these events."""
        frames: list[str] = []
        texts = self._answer.texts
        for event in events:
            if type(event) is Token or type(event) is Reasoning:
                if type(event) is not self._open:
                    frames.append(self._begin_text(type(event)))
                frames.append(f"{self._delta}{escape(texts[type(event)].text_of(event))}}}}}\n\n")
            else:
                frames.append(self._rare(event))
        return "".join(frames).encode("ascii")

    def _rare(self, event: Event) -> str:
        text = self._answer.rare(event)
        if isinstance(event, Started):
            return named_frame("message_start", message=message(self._run_id, self._model, [], None, Usage(0, 0)))
        if isinstance(event, Failed | Cancelled):
            return error_frame(why_incomplete(event), 500 if isinstance(event, Failed) else 409)
        if isinstance(event, Finished | Interrupted):
            said = f"{self._begin_text(Token)}{self._delta}{escape(text)}}}}}\n\n" if text else ""
            return said + self._finish(event)
        return ""

    def _begin_text(self, kind: type[Event]) -> str:
        if kind is self._open:
            return ""
        ended = self._end_block()
        self._open = kind
        name, block = ("text", {"text": ""}) if kind is Token else ("thinking", {"thinking": "", "signature": ""})
        self._delta = (
            "event: content_block_delta\n"
            f'data: {{"type":"content_block_delta","index":{self._index},"delta":{{"type":"{name}_delta","{name}":'
        )
        return ended + named_frame("content_block_start", index=self._index, content_block={"type": name, **block})

    def _end_block(self) -> str:
        if self._open is None:
            return ""
        self._open, index = None, self._index
        self._index += 1
        return named_frame("content_block_stop", index=index)

    def _finish(self, event: Finished | Interrupted) -> str:
        calls = self._answer.calls(self._run_id)
        frames = [self._end_block()]
        for call_id, call in calls.items():
            at = {"index": self._index}
            self._index += 1
            part = {"type": "input_json_delta", "partial_json": json.dumps(call.arguments)}
            frames.append(named_frame("content_block_start", **at, content_block=call_block(call_id, call, {})))
            frames.append(named_frame("content_block_delta", **at, delta=part))
            frames.append(named_frame("content_block_stop", **at))
        delta = {"stop_reason": reason_of(event, calls), "stop_sequence": None}
        frames.append(named_frame("message_delta", delta=delta, usage=usage_of(event.usage)))
        return "".join([*frames, named_frame("message_stop")])

    def lost(self, reason: str) -> bytes:
        """An error message: a client of this dialect never comes back."""
        return error_frame(cannot_continue(reason), 404).encode("ascii")


def error_frame(message: str, status: int) -> str:
    """An error in the middle of a stream."""
    return f"event: error\ndata: {dumps(error_body(message, status))}\n\n"
