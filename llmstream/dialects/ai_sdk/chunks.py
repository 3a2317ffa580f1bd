"""The chunks of a UI message stream, counted: how WorkflowChatTransport of `@ai-sdk/workflow` comes back to one.

Source: https://ai-sdk.dev/docs/reference/ai-sdk-workflow/workflow-chat-transport
"""

from __future__ import annotations

from collections.abc import Sequence

from llmstream.events import Event
from llmstream.http.encoder import DONE, Encoder

# By the one it knows which run to come back to, by the other which chunk it was given where it counts from the end.
RUN_HEADER = "x-workflow-run-id"
TAIL_HEADER = "x-workflow-stream-tail-index"

_END = b"\n\n"  # of a frame; JSON holds none


def chunk_count(encoder: Encoder, events: Sequence[Event]) -> int:
    """The number of chunks that an encoder makes of a run's events; `[DONE]` is none."""
    body = encoder.encode(1, events)
    return body.count(_END) - body.endswith(DONE.encode())


class FromChunk(Encoder):
    """The `Encoder` of a stream that leaves out its first chunks, `skipped` of them."""

    def __init__(self, whole: Encoder, skipped: int) -> None:
        self._whole = whole
        self._skipped = skipped

    def encode(self, first: int, events: Sequence[Event]) -> bytes:
        """The frames of these events, without those that the client has."""
        body = self._whole.encode(first, events)
        begin = 0
        while self._skipped and begin < len(body):
            begin = body.index(_END, begin) + len(_END)
            self._skipped -= 1
        return body[begin:]

    def lost(self, reason: str) -> bytes:
        """The frames that tell the client to ask again."""
        return self._whole.lost(reason)
