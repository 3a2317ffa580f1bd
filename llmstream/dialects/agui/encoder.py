"""The events of AG-UI 1.0, for CopilotKit, TanStack AI and assistant-ui.

Source: https://docs.ag-ui.com/concepts/events, and the models of the package `ag-ui-protocol`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from json.encoder import encode_basestring_ascii as escape
from typing import Any

import msgspec

from llmstream.dialects.native.encoder import dumps
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


class AguiEncoder:
    """See `encoder.Encoder`; fed from the first event, because a message is open or not by what came before.

    thread_id, agent_run_id: what the client calls the conversation and the run. tools: the names of the client's own.
    """

    def __init__(
        self, run_id: str, after: int = 0, *, thread_id: str, agent_run_id: str, tools: Collection[str] = ()
    ) -> None:
        self.start = 0
        self._run_id = run_id
        self._head = f"id: {run_id}-"
        self._after = after
        self._run = {"threadId": thread_id, "runId": agent_run_id}
        self._model = ""
        self._kind: type[Event] | None = None  # of the open message
        self._message: dict[str, str] = {}
        self._messages = 0
        self._delta = ""
        self._tools = tools
        self._calls: set[str] = set()

    def encode(self, first: int, events: Sequence[Event]) -> bytes:
        """The frames of these events; the last one of each event has the event's id."""
        head, after = self._head, self._after
        frames: list[str] = []
        for seq, event in enumerate(events, first):
            if type(event) is self._kind:  # one more piece of the open message, which has a text
                made = f"{head}{seq}{self._delta}{escape(event.text)}}}\n\n"  # type: ignore[union-attr]
            else:
                made = _with_id(f"{head}{seq}\n", self._rare(event))
            if seq > after:
                frames.append(made)
        return "".join(frames).encode("ascii")

    def _open(self, event: Token | Reasoning) -> list[str]:
        """The start of a message with its first piece; the one before is over."""
        before = self._close()
        self._messages += 1
        message = {"messageId": f"{self._run_id}-m{self._messages}"}
        self._kind, self._message = type(event), message
        name = "TEXT_MESSAGE" if self._kind is Token else "REASONING_MESSAGE"
        # Everything of a token's frame that does not change: this is written once per token.
        self._delta = f'\n{frame(f"{name}_CONTENT", **message)[:-3]},"delta":'
        if self._kind is Reasoning:
            before.append(frame("REASONING_START", **message))
        role = "assistant" if self._kind is Token else "reasoning"
        start = frame(f"{name}_START", **message, role=role)
        return [*before, start, frame(f"{name}_CONTENT", **message, delta=event.text)]

    def _close(self) -> list[str]:
        kind, self._kind = self._kind, None
        if kind is Token:
            return [frame("TEXT_MESSAGE_END", **self._message)]
        names = ("REASONING_MESSAGE_END", "REASONING_END") if kind is Reasoning else ()
        return [frame(name, **self._message) for name in names]

    def _rare(self, event: Event) -> list[str]:
        match event:
            case Token() | Reasoning():
                return self._open(event)
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
        self._calls.add(call_id)
        return _call_frames(call_id, event, of_client=event.name in self._tools)

    def _result(self, event: ToolResult) -> str:
        if event.id not in self._calls:  # of a call nobody heard of
            return frame("CUSTOM", name="tool_result", value={"id": event.id, "output": event.output})
        self._messages += 1
        return _result_frame(f"{self._run_id}-m{self._messages}", event)

    def _end(self, event: Finished | Failed | Cancelled) -> str:
        if isinstance(event, Failed):
            return frame("RUN_ERROR", message=event.message, code=event.code)
        if isinstance(event, Cancelled):
            return frame("RUN_FINISHED", **self._run, outcome={"type": "cancelled"})
        return frame("RUN_FINISHED", **self._run, **_finished_fields(event, self._model))

    def lost(self, reason: str) -> bytes:
        """An error: the client would have to ask again."""
        message = f"This answer can't be continued from there ({reason}). Ask again."
        return frame("RUN_ERROR", message=message, code="run_not_found").encode("ascii")


def frame(kind: str, **fields: Any) -> str:
    """One frame."""
    return f"data: {dumps({'type': kind, **fields})}\n\n"


def _with_id(line: str, frames: list[str]) -> str:
    return "".join([*frames[:-1], line, *frames[-1:]]) if frames else ""


def _call_frames(call_id: str, event: ToolCall, *, of_client: bool) -> list[str]:
    frames = [
        frame("TOOL_CALL_START", toolCallId=call_id, toolCallName=event.name),
        frame("TOOL_CALL_ARGS", toolCallId=call_id, delta=dumps(event.arguments)),
        frame("TOOL_CALL_END", toolCallId=call_id),
    ]
    if of_client:  # TanStack's client makes a call when it is told this
        value = {"toolCallId": call_id, "toolName": event.name, "input": event.arguments}
        frames.append(frame("CUSTOM", name="tool-input-available", value=value))
    return frames


def _result_frame(message_id: str, event: ToolResult) -> str:
    content = event.output if isinstance(event.output, str) else json.dumps(event.output)
    return frame("TOOL_CALL_RESULT", messageId=message_id, toolCallId=event.id, content=content)


def _finished_fields(event: Finished, model: str) -> dict[str, Any]:
    """What the end of an answer tells: how it ended, how long it took, the tokens.

    Which calls are left to the client every client sees by itself, and older ones refuse an outcome that says it.
    """
    read, made = event.usage.input_tokens, event.usage.output_tokens
    total = None if read is None or made is None else read + made
    counts = {"inputTokens": read, "outputTokens": made, "totalTokens": total}
    usage = {"model": model, **{name: count for name, count in counts.items() if count is not None}}
    result: dict[str, Any] = {"finishReason": event.reason, "timings": msgspec.to_builtins(event.timings)}
    if event.prompt_truncated:
        result["promptTruncated"] = True
    return {"result": result, "usage": [usage], "outcome": {"type": "success"}}
