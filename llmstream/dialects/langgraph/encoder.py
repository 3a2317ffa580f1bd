"""A run as events of LangChain's Agent Streaming Protocol, numbered through its thread.

Source: `langchain_protocol`, and what `@langchain/langgraph-sdk` and `langgraph_sdk` make of the events. The numbers
and ids depend on the run alone, not on who listens: a client opens streams anew, and drops by the ids what it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmstream.dialects.langgraph.frames import ALL, Frames, Wanted, error_frame
from llmstream.dialects.langgraph.messages import Transcript, usage_of
from llmstream.dialects.langgraph.open_message import OpenMessage
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
from llmstream.http.encoder import Encoder, cannot_continue
from llmstream.view.ending import STOPPED

_TAKEN_BACK = "The message was taken back."


class RunEncoder(Encoder):
    """The `Encoder` of a thread's run; fed from the first event, as all that was said goes into every `values`.

    before: the thread's messages up to this run, with its question. wanted: what the client listens to.
    """

    numbered = True

    def __init__(self, run_id: str, before: Sequence[Mapping[str, Any]] = (), *, wanted: Wanted = ALL) -> None:
        self.transcript = Transcript(run_id, before)
        self._frames = Frames(run_id, wanted)
        self._open = OpenMessage(self._frames, self.transcript)

    def encode(self, first: int, events: Sequence[Event]) -> bytes:
        """The frames of these events."""
        frames: list[str] = []
        for event in events:
            if type(event) is Token or type(event) is Reasoning:
                frames.append(self._open.delta(event))
            else:
                frames.append(self._rare(event))
        return "".join(frames).encode("ascii")

    def _rare(self, event: Event) -> str:
        match event:
            case Started():
                self._frames.begin(event)
                self._open.model = event.model
                return self._lifecycle("running") + self._open.values()
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
            case Finished():
                return self._finish(event, event.reason) + self._lifecycle("completed")
            case Interrupted():
                return self._interrupt(event)
            case Failed():
                return self._open.broken(event.message) + self._lifecycle("failed", error=event.message)
            case Cancelled():
                return self._cancelled(event)
        return ""

    def _call(self, event: ToolCall) -> str:
        if event.id and self.transcript.change(event):  # a person has decided on it
            return self._tool("started", event, input=event.arguments)
        call = event if event.id else msgspec.structs.replace(event, id=self.transcript.new_call_id())
        return self._open.call(call) + self._tool("started", call, input=call.arguments)

    def _tool(self, what: str, call: ToolCall, **fields: Any) -> str:
        name = {"tool_name": call.name} if what == "started" else {}
        return self._frames.write("tools", {"event": f"tool-{what}", "tool_call_id": call.id, **name, **fields})

    def _result(self, event: ToolResult) -> str:
        call = self.transcript.calls.get(event.id)
        if call is None:  # of a call nobody heard of
            return ""
        frames = self._open.end()
        if not self.transcript.is_of_run(call):  # a page that was reloaded meanwhile has heard of no start
            frames += self._tool("started", call, input=call.arguments)
        self.transcript.result(call, event.output)
        self._open.is_stale = True
        return frames + self._tool("finished", call, output=event.output)

    def _withdraw(self, of: str) -> str:
        """A message is taken back: it leaves the page by a `values` that has it, and one that has it no more."""
        is_open = self._open.said is not None and self._open.said.of == of
        if not self.transcript.has(of):
            return ""
        frames = (self._open.abandon(_TAKEN_BACK) if is_open else "") + self._open.values()
        for call in self.transcript.withdraw(of):
            error = {"event": "tool-error", "tool_call_id": call.id, "message": _TAKEN_BACK}
            frames += self._frames.write("tools", error)
        return frames + self._open.values()

    def _finish(self, event: Finished | Interrupted, reason: str) -> str:
        known = {"finish_reason": reason, "model_name": self._open.model}
        return self._open.finish(usage_of(event.usage), known) + self._open.values()

    def _interrupt(self, event: Interrupted) -> str:
        frames = self._finish(event, "tool_calls")
        for each in event.interrupts:
            # The protocol calls it `payload`; `langgraph_sdk` reads `value`.
            asked = {"interrupt_id": each["id"], "payload": each["value"], "value": each["value"]}
            frames += self._frames.write("input.requested", asked)
        return frames + self._lifecycle("interrupted")

    def _lifecycle(self, event: str, **more: str) -> str:
        return self._frames.write("lifecycle", {"event": event, **more})

    def _cancelled(self, event: Cancelled) -> str:
        """A stop is no error on the page where somebody pressed it, and ends `langgraph_sdk`'s wait only as one.

        The first end of a run is the one that a page takes. A run that another replaces is not the thread's end.
        """
        why = STOPPED[event.by]
        frames = self._open.broken(why) + self._lifecycle("interrupted")
        return frames if event.by == "replaced" else frames + self._lifecycle("failed", error=why)

    def lost(self, reason: str) -> bytes:
        """An error that belongs to no command."""
        return error_frame(cannot_continue(reason))
