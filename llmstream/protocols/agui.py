"""The events of AG-UI 1.0, for CopilotKit, TanStack AI and assistant-ui.

Source: https://docs.ag-ui.com/concepts/events, and the models of the package `ag-ui-protocol`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii as escape
from typing import Any

import msgspec

from llmstream.events import (
    Cancelled,
    Data,
    Event,
    Failed,
    Finished,
    Reasoning,
    Started,
    Status,
    Token,
    ToolCall,
    ToolResult,
)
from llmstream.protocols.native import dumps


class AguiEncoder:
    """See `encoder.Encoder`; fed from the first event, because a message is open or not by what came before.

    thread_id, agent_run_id: what the client calls the conversation and the run.
    """

    def __init__(self, run_id: str, after: int = 0, *, thread_id: str, agent_run_id: str) -> None:
        self.start = 0
        self._run_id = run_id
        self._after = after
        self._run = {"threadId": thread_id, "runId": agent_run_id}
        self._model = ""
        self._kind: type[Event] | None = None  # of the open message
        self._message = ""
        self._messages = 0
        self._delta = ""
        self._calls: dict[str, bool] = {}  # id → whether the chain has answered it

    def encode(self, first: int, events: Sequence[Event]) -> bytes:
        """The frames of these events; the last one of each event has the event's id."""
        head, after = f"id: {self._run_id}-", self._after
        frames: list[str] = []
        for seq, event in enumerate(events, first):
            kind = type(event)
            if kind is Token or kind is Reasoning:
                opening = self._open(kind) if self._kind is not kind else ""
                # Mypy does not see that these are the two kinds with a text.
                made = f"{opening}{head}{seq}{self._delta}{escape(event.text)}}}\n\n"  # type: ignore[union-attr]
            else:
                made = _with_id(f"{head}{seq}\n", self._rare(event))
            if seq > after:
                frames.append(made)
        return "".join(frames).encode("ascii")

    def _open(self, kind: type[Event]) -> str:
        """The start of a message; the one before is over."""
        before = self._close()
        self._messages += 1
        self._kind, self._message = kind, f"{self._run_id}-m{self._messages}"
        name = "TEXT_MESSAGE" if kind is Token else "REASONING_MESSAGE"
        # Everything of a token's frame that does not change: this is written once per token.
        self._delta = f'\ndata: {{"type":"{name}_CONTENT","messageId":"{self._message}","delta":'
        if kind is Reasoning:
            before.append(frame("REASONING_START", messageId=self._message))
        role = "assistant" if kind is Token else "reasoning"
        return "".join([*before, frame(f"{name}_START", messageId=self._message, role=role)])

    def _close(self) -> list[str]:
        kind, self._kind = self._kind, None
        if kind is Token:
            return [frame("TEXT_MESSAGE_END", messageId=self._message)]
        names = ("REASONING_MESSAGE_END", "REASONING_END") if kind is Reasoning else ()
        return [frame(name, messageId=self._message) for name in names]

    def _rare(self, event: Event) -> list[str]:
        match event:
            case Started():
                self._model = event.model
                return [frame("RUN_STARTED", **self._run)]
            case Status():
                return [frame("CUSTOM", name="status", value=msgspec.to_builtins(event))]
            case Data():
                return [frame("CUSTOM", name=event.name, value=event.value)]
            case ToolCall():
                return [*self._close(), *self._call(event)]
            case ToolResult():
                return [*self._close(), self._result(event)]
            case Finished() | Failed() | Cancelled():
                return [*self._close(), self._end(event)]
        return []

    def _call(self, event: ToolCall) -> list[str]:
        self._messages += 1
        call_id = event.id or f"{self._run_id}-c{self._messages}"
        self._calls[call_id] = False
        return _call_frames(call_id, event)

    def _result(self, event: ToolResult) -> str:
        if event.id not in self._calls:  # of a call nobody heard of
            return frame("CUSTOM", name="tool_result", value={"id": event.id, "output": event.output})
        self._calls[event.id] = True
        self._messages += 1
        return _result_frame(f"{self._run_id}-m{self._messages}", event)

    def _end(self, event: Finished | Failed | Cancelled) -> str:
        if isinstance(event, Failed):
            return frame("RUN_ERROR", message=event.message, code=event.code)
        if isinstance(event, Cancelled):
            return frame("RUN_FINISHED", **self._run, outcome={"type": "cancelled"})
        pending = [call for call, answered in self._calls.items() if not answered]
        return frame("RUN_FINISHED", **self._run, **_finished_fields(event, self._model, pending))

    def lost(self, reason: str) -> bytes:
        """An error: the client would have to ask again."""
        message = f"This answer can't be continued from there ({reason}). Ask again."
        return frame("RUN_ERROR", message=message, code="run_not_found").encode("ascii")


def frame(kind: str, **fields: Any) -> str:
    """One frame."""
    return f"data: {dumps({'type': kind, **fields})}\n\n"


def _with_id(line: str, frames: list[str]) -> str:
    return "".join([*frames[:-1], line, *frames[-1:]]) if frames else ""


def _call_frames(call_id: str, event: ToolCall) -> list[str]:
    return [
        frame("TOOL_CALL_START", toolCallId=call_id, toolCallName=event.name),
        frame("TOOL_CALL_ARGS", toolCallId=call_id, delta=dumps(event.arguments)),
        frame("TOOL_CALL_END", toolCallId=call_id),
    ]


def _result_frame(message_id: str, event: ToolResult) -> str:
    content = event.output if isinstance(event.output, str) else json.dumps(event.output)
    return frame("TOOL_CALL_RESULT", messageId=message_id, toolCallId=event.id, content=content)


def _finished_fields(event: Finished, model: str, pending: list[str]) -> dict[str, Any]:
    """What the end of an answer tells: how it ended, how long it took, the tokens, the calls left to the client."""
    counts = {"inputTokens": event.usage.input_tokens, "outputTokens": event.usage.output_tokens}
    usage = {"model": model, **{name: count for name, count in counts.items() if count is not None}}
    result: dict[str, Any] = {"finishReason": event.reason, "timings": msgspec.to_builtins(event.timings)}
    if event.prompt_truncated:
        result["promptTruncated"] = True
    outcome: dict[str, Any] = {"type": "success"}
    if pending:
        outcome["pendingToolCallIds"] = pending
    return {"result": result, "usage": [usage], "outcome": outcome}
