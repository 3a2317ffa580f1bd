"""A run as events of LangChain's Agent Streaming Protocol, numbered through its thread.

Source: `langchain_protocol`, and what `@langchain/langgraph-sdk` and `langgraph_sdk` make of the events. The numbers
and ids depend on the run alone, not on who listens: a client opens streams anew, and drops by the ids what it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmstream.dialects.langgraph.frames import Frames, error_frame
from llmstream.dialects.langgraph.messages import Said, Transcript, block_of, call_of
from llmstream.dialects.langgraph.wanted import ALL, Wanted
from llmstream.events import (
    Cancelled,
    Data,
    Event,
    Failed,
    Finished,
    Interrupted,
    Reasoning,
    Started,
    Status,
    Token,
    ToolCall,
    ToolResult,
    Withdrawn,
)
from llmstream.http.encoder import HEARTBEAT, STOPPED, dumps

_KINDS: Mapping[type[Event], str] = {Token: "text", Reasoning: "reasoning"}
_TAKEN_BACK = "The message was taken back."


class RunEncoder:
    """The `Encoder` of a thread's run; fed from the first event, as all that was said goes into every `values`.

    before: the thread's messages up to this run, with its question. wanted: what the client listens to.
    """

    numbered = True
    heartbeat = HEARTBEAT

    def __init__(self, run_id: str, before: Sequence[Mapping[str, Any]] = (), *, wanted: Wanted = ALL) -> None:
        self.start = 0
        self.transcript = Transcript(run_id, before)
        self._frames = Frames(run_id, wanted)
        self._model = ""
        self._said: Said | None = None  # the message that is open, and of its open block the kind and the pieces
        self._kind: type[Event] | None = None
        self._pieces: list[str] = []
        self._index = 0
        self._is_stale = False  # whether a tool gave back what no `values` has told

    def encode(self, first: int, events: Sequence[Event]) -> bytes:
        """The frames of these events."""
        frames: list[str] = []
        for event in events:
            if type(event) is Token or type(event) is Reasoning:
                if type(event) is not self._kind or self._said is None or event.message != self._said.of:
                    frames.append(self._begin_block(event))
                self._pieces.append(event.text)
                frames.append(self._frames.piece(event.text))
            else:
                frames.append(self._rare(event))
        return "".join(frames).encode("ascii")

    def _values(self) -> str:
        self._is_stale = False
        return self._frames.values(self.transcript)

    def _begin_message(self, of: str | None, name: str | None = None) -> str:
        """The message that a piece or a call belongs to is open; the one before is over."""
        if self._said is not None and self._said.of == of:
            return ""
        frames = self._end_message() + (self._values() if self._is_stale else "")
        self._said = self.transcript.begin(of, name)
        self._index = 0
        known = {"model": self._model, **({} if name is None else {"langgraph_node": name})}
        start = {"event": "message-start", "role": "ai", "id": self._said.id, "metadata": known}
        return frames + self._frames.write("messages", start)

    def _begin_block(self, event: Token | Reasoning) -> str:
        frames = self._begin_message(event.message, event.name) + self._end_block()
        self._kind, self._pieces = type(event), []
        kind = _KINDS[type(event)]
        if self._said is not None:
            self._said.blocks.append((kind, self._pieces))
        self._frames.begin_block(kind, self._index)
        return frames + self._block("start", block_of(kind, ""))

    def _block(self, what: str, content: Mapping[str, Any]) -> str:
        return self._frames.write(
            "messages", {"event": f"content-block-{what}", "index": self._index, "content": content}
        )

    def _end_block(self) -> str:
        if self._kind is None:
            return ""
        content = block_of(_KINDS[self._kind], "".join(self._pieces))
        frame = self._block("finish", content)
        self._kind = None
        self._index += 1
        return frame

    def _end_message(self, **details: Any) -> str:
        if self._said is None:
            return ""
        frames, self._said = self._end_block(), None
        return frames + self._frames.write("messages", {"event": "message-finish", **details})

    def _break_message(self, why: str) -> str:
        """The open message, if there is one, is not what it was to be."""
        if self._said is None:
            return ""
        self._said = self._kind = None
        return self._frames.write("messages", {"event": "error", "message": why})

    def _rare(self, event: Event) -> str:
        match event:
            case Started():
                self._frames.begin(event)
                self._model = event.model
                return self._frames.write("lifecycle", {"event": "running"}) + self._values()
            case Status():
                return self._frames.write("custom", {"name": "status", "payload": msgspec.to_builtins(event)})
            case Data():
                return self._frames.write("custom", {"name": event.name, "payload": event.value})
            case ToolCall():
                return self._call(event)
            case ToolResult():
                return self._result(event)
            case Withdrawn():
                return self._withdraw(event.message)
            case Finished() | Interrupted():
                return self._end(event)
            case Failed():
                return self._broken(event.message) + self._frames.write(
                    "lifecycle", {"event": "failed", "error": event.message}
                )
            case Cancelled():
                return self._cancelled(event)
        return ""

    def _call(self, event: ToolCall) -> str:
        if event.id and self.transcript.change(event):  # a person has decided on it
            return self._tool("started", event, input=event.arguments)
        frames = self._begin_message(event.message) + self._end_block()
        call = event if event.id else msgspec.structs.replace(event, id=self.transcript.new_call_id())
        if self._said is not None:
            self.transcript.call(self._said, call)
        content = call_of(call)
        frames += self._block("start", {**content, "type": "tool_call_chunk", "args": dumps(call.arguments)})
        frames += self._block("finish", content)
        self._index += 1
        return frames + self._tool("started", call, input=call.arguments)

    def _tool(self, what: str, call: ToolCall, **fields: Any) -> str:
        name = {"tool_name": call.name} if what == "started" else {}
        return self._frames.write("tools", {"event": f"tool-{what}", "tool_call_id": call.id, **name, **fields})

    def _result(self, event: ToolResult) -> str:
        call = self.transcript.calls.get(event.id)
        if call is None:  # of a call nobody heard of
            return ""
        frames = self._end_message()
        if not self.transcript.is_of_run(call):  # a page that was reloaded meanwhile has heard of no start
            frames += self._tool("started", call, input=call.arguments)
        self.transcript.result(call, event.output)
        self._is_stale = True
        return frames + self._tool("finished", call, output=event.output)

    def _withdraw(self, of: str) -> str:
        """A message is taken back: it leaves the page by a `values` that has it, and one that has it no more."""
        is_open = self._said is not None and self._said.of == of
        if not self.transcript.has(of):
            return ""
        frames = (self._break_message(_TAKEN_BACK) if is_open else "") + self._values()
        for call in self.transcript.withdraw(of):
            frames += self._frames.write(
                "tools", {"event": "tool-error", "tool_call_id": call.id, "message": _TAKEN_BACK}
            )
        return frames + self._values()

    def _end(self, event: Finished | Interrupted) -> str:
        read, made = event.usage.input_tokens, event.usage.output_tokens
        usage = {"input_tokens": read or 0, "output_tokens": made or 0, "total_tokens": (read or 0) + (made or 0)}
        reason = event.reason if isinstance(event, Finished) else "tool_calls"
        known = {"finish_reason": reason, "model_name": self._model}
        if self._said is not None:
            self._said.details = {"usage_metadata": usage, "response_metadata": known}
        frames = self._end_message(usage=usage, metadata=known) + self._values()
        if isinstance(event, Finished):
            return frames + self._frames.write("lifecycle", {"event": "completed"})
        for each in event.interrupts:
            # The protocol calls it `payload`; `langgraph_sdk` reads `value`.
            asked = {"interrupt_id": each["id"], "payload": each["value"], "value": each["value"]}
            frames += self._frames.write("input.requested", asked)
        return frames + self._frames.write("lifecycle", {"event": "interrupted"})

    def _broken(self, why: str) -> str:
        """The frames of an answer that broke off: the text stays, and is told to be incomplete."""
        return self._break_message(why) + self._values()

    def _cancelled(self, event: Cancelled) -> str:
        """A stop is no error on the page where somebody pressed it, and ends `langgraph_sdk`'s wait only as one.

        The first end of a run is the one that a page takes. A run that another replaces is not the thread's end.
        """
        why = STOPPED[event.by]
        frames = self._broken(why) + self._frames.write("lifecycle", {"event": "interrupted"})
        if event.by == "replaced":
            return frames
        return frames + self._frames.write("lifecycle", {"event": "failed", "error": why})

    def lost(self, reason: str) -> bytes:
        """An error that belongs to no command."""
        return error_frame(f"This answer can't be continued from there ({reason}). Ask again.")
