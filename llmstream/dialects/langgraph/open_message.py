"""The message that an answer is writing, as frames of the protocol: its blocks begin, grow and end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmstream.dialects.langgraph.frames import Frames
from llmstream.dialects.langgraph.messages import SaidMessage, Transcript, block_of, call_of
from llmstream.events import Event, Reasoning, Token, ToolCall
from llmstream.http.encoder import dumps

_KINDS: Mapping[type[Event], str] = {Token: "text", Reasoning: "reasoning"}


class OpenMessage:
    """The message that is open, if any, and its open block; every method gives the frames that it takes.

    model: told with each message. said: the message as the transcript holds it, None while none is open.
    is_stale: whether a tool gave back what no `values` has told.
    """

    def __init__(self, frames: Frames, transcript: Transcript) -> None:
        self.model = ""
        self.said: SaidMessage | None = None
        self.is_stale = False
        self._frames = frames
        self._transcript = transcript
        self._kind: type[Event] | None = None  # of the open block, and its texts
        self._texts: list[str] = []
        self._index = 0

    def delta(self, event: Token | Reasoning) -> str:
        """A token, of text or thinking."""
        frames = ""
        if type(event) is not self._kind or self.said is None or event.message != self.said.of:
            frames = self._begin_block(event)
        self._texts.append(event.text)
        return frames + self._frames.delta(event.text)

    def call(self, call: ToolCall) -> str:
        """A tool call, which is a block that comes in one piece."""
        frames = self.begin(call.message) + self._end_block()
        if self.said is not None:
            self._transcript.call(self.said, call)
        content = call_of(call)
        frames += self._block("start", {**content, "type": "tool_call_chunk", "args": dumps(call.arguments)})
        frames += self._block("finish", content)
        self._index += 1
        return frames

    def values(self) -> str:
        """All messages, as they are now."""
        self.is_stale = False
        return self._frames.values(self._transcript)

    def begin(self, of: str | None, name: str | None = None) -> str:
        """The message that a token or a call belongs to is open; the one before is over."""
        if self.said is not None and self.said.of == of:
            return ""
        frames = self.end() + (self.values() if self.is_stale else "")
        self.said = self._transcript.begin(of, name)
        self._index = 0
        known = {"model": self.model, **({} if name is None else {"langgraph_node": name})}
        start = {"event": "message-start", "role": "ai", "id": self.said.id, "metadata": known}
        return frames + self._frames.write("messages", start)

    def end(self, **details: Any) -> str:
        """The message is whole; details: what is told with its end."""
        if self.said is None:
            return ""
        frames, self.said = self._end_block(), None
        return frames + self._frames.write("messages", {"event": "message-finish", **details})

    def finish(self, usage: Mapping[str, int], known: Mapping[str, Any]) -> str:
        """The last message is whole, and has the figures of the answer."""
        if self.said is not None:
            self.said.details = {"usage_metadata": usage, "response_metadata": known}
        return self.end(usage=usage, metadata=known)

    def broken(self, why: str) -> str:
        """The answer broke off: the text stays, and is told to be incomplete."""
        return self.abandon(why) + self.values()

    def abandon(self, why: str) -> str:
        """The message ends with an error, which says why."""
        if self.said is None:
            return ""
        self.said = self._kind = None
        return self._frames.write("messages", {"event": "error", "message": why})

    def _begin_block(self, event: Token | Reasoning) -> str:
        frames = self.begin(event.message, event.name) + self._end_block()
        self._kind, self._texts = type(event), []
        kind = _KINDS[type(event)]
        if self.said is not None:
            self.said.blocks.append((kind, self._texts))
        self._frames.begin_block(kind, self._index)
        return frames + self._block("start", block_of(kind, ""))

    def _end_block(self) -> str:
        if self._kind is None:
            return ""
        frame = self._block("finish", block_of(_KINDS[self._kind], "".join(self._texts)))
        self._kind = None
        self._index += 1
        return frame

    def _block(self, what: str, content: Mapping[str, Any]) -> str:
        block = {"event": f"content-block-{what}", "index": self._index, "content": content}
        return self._frames.write("messages", block)
