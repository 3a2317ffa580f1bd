"""The events of AG-UI 1.0, for CopilotKit, TanStack AI and assistant-ui.

Source: https://docs.ag-ui.com/concepts/events, and the models of the package `ag-ui-protocol`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from json.encoder import encode_basestring_ascii as escape
from typing import Any

import msgspec

from llmstream.dialects.agui.history import SaidMessages
from llmstream.events import (
    Cancelled,
    Data,
    Event,
    Failed,
    Finished,
    Interrupt,
    Interrupted,
    Reasoning,
    Started,
    Status,
    Token,
    ToolCall,
    ToolResult,
    Usage,
    Withdrawn,
)
from llmstream.http.encoder import Encoder, cannot_continue, dumps, frame
from llmstream.view.interrupts import actions_of, answer_schema, calls_of, in_words


class AguiEncoder(Encoder):
    """The `Encoder` of AG-UI; fed from the first event, because a message is open or not by what came before.

    thread_id, agent_run_id: what the client calls the conversation and the run. tools: the names of the client's own.
    asked: the messages that the client sent, as it has them.
    """

    numbered = True

    def __init__(
        self,
        run_id: str,
        after: int = 0,
        *,
        thread_id: str,
        agent_run_id: str,
        tools: Collection[str] = (),
        asked: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._run_id = run_id
        self._head = f"id: {run_id}-"
        self._after = after
        self._run = {"threadId": thread_id, "runId": agent_run_id}
        self._model = ""
        self._kind: type[Event] | None = None  # of the open message
        self._message: dict[str, str] = {}
        self._of: str | None = None  # the message of the chain that the open one belongs to
        self._messages = 0
        self._said = SaidMessages(asked)
        self._delta = ""
        self._tools = tools

    def encode(self, first: int, events: Sequence[Event]) -> bytes:
        """The frames of these events; the last one of each event has the event's id."""
        head, after = self._head, self._after
        frames: list[str] = []
        for seq, event in enumerate(events, first):
            # One more piece of the open message, which has a text and belongs to a message of the chain.
            if type(event) is self._kind and event.message == self._of:  # type: ignore[union-attr]
                made = f"{head}{seq}{self._delta}{escape(event.text)}}}\n\n"  # type: ignore[union-attr]
                self._pieces.append(event.text)  # type: ignore[union-attr]
            else:
                made = _with_id(f"{head}{seq}\n", self._rare(event))
            if seq > after:
                frames.append(made)
        return "".join(frames).encode("ascii")

    def _open(self, event: Token | Reasoning) -> list[str]:
        """The frames that begin a message with its first piece, and end the one before."""
        before = self._close()
        self._messages += 1
        message = {"messageId": f"{self._run_id}-m{self._messages}"}
        self._kind, self._message, self._of = type(event), message, event.message
        self._pieces = self._said.text(message["messageId"], event)
        name = "TEXT_MESSAGE" if self._kind is Token else "REASONING_MESSAGE"
        # Everything of a token's frame that does not change: this is written once per token.
        self._delta = f'\n{frame(f"{name}_CONTENT", **message)[:-3]},"delta":'
        if self._kind is Reasoning:
            before.append(frame("REASONING_START", **message))
        start = frame(f"{name}_START", **message, **_role(event))
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
            case ToolCall() if self._said.has_call(event.id):  # which a person has decided on, and maybe changed
                return [frame("MESSAGES_SNAPSHOT", messages=self._said.messages)] if self._said.change(event) else []
            case ToolCall():
                return [*self._close(), *self._call(event)]
            case ToolResult():
                return [*self._close(), self._result(event)]
            case Withdrawn():
                return self._withdraw(event)
            case Finished() | Failed() | Cancelled() | Interrupted():
                return [*self._close(), self._end(event)]
        return []

    def _call(self, event: ToolCall) -> list[str]:
        self._messages += 1
        call = msgspec.structs.replace(event, id=event.id or f"{self._run_id}-c{self._messages}")
        self._said.call(call)
        return _call_frames(call.id, call, of_client=call.name in self._tools)

    def _result(self, event: ToolResult) -> str:
        if not self._said.has_call(event.id):  # of a call nobody heard of
            return frame("CUSTOM", name="tool_result", value={"id": event.id, "output": event.output})
        self._messages += 1
        message = {"messageId": f"{self._run_id}-m{self._messages}", "toolCallId": event.id}
        content = event.output if isinstance(event.output, str) else json.dumps(event.output)
        self._said.result(message["messageId"], event.id, content)
        return frame("TOOL_CALL_RESULT", **message, content=content)

    def _withdraw(self, event: Withdrawn) -> list[str]:
        """The frame of all messages but the withdrawn one: a client of this protocol drops what is not among them."""
        closing = self._close() if self._of == event.message else []
        if not self._said.withdraw(event.message):
            return closing
        return [*closing, frame("MESSAGES_SNAPSHOT", messages=self._said.messages)]

    def _end(self, event: Finished | Failed | Cancelled | Interrupted) -> str:
        if isinstance(event, Failed):
            return frame("RUN_ERROR", message=event.message, code=event.code)
        if isinstance(event, Cancelled):
            return frame("RUN_FINISHED", **self._run, outcome={"type": "cancelled"})
        result: dict[str, Any] = {"timings": msgspec.to_builtins(event.timings)}
        if isinstance(event, Interrupted):
            asks = [_interrupt(each, self._said.open_calls) for each in event.interrupts]
            outcome: dict[str, Any] = {"type": "interrupt", "interrupts": asks}
        else:
            # Which calls are left to it every client sees by itself, and older ones refuse an outcome that says it.
            outcome = {"type": "success"}
            result = {"finishReason": event.reason, **result}
            if event.prompt_truncated:
                result["promptTruncated"] = True
        return frame(
            "RUN_FINISHED", **self._run, result=result, usage=[_usage(event.usage, self._model)], outcome=outcome
        )

    def lost(self, reason: str) -> bytes:
        """An error frame: the client would have to ask again."""
        return frame("RUN_ERROR", message=cannot_continue(reason), code="run_not_found").encode("ascii")


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


def _role(event: Token | Reasoning) -> dict[str, str]:
    if isinstance(event, Reasoning):
        return {"role": "reasoning"}
    return {"role": "assistant"} if event.name is None else {"role": "assistant", "name": event.name}


def _interrupt(interrupt: Interrupt, calls: Collection[ToolCall]) -> dict[str, Any]:
    """The question of a graph to a person, in AG-UI's form; the graph's own value is in the metadata."""
    asked = [call for _, call in calls_of(interrupt, calls)]
    fields: dict[str, Any] = {
        "id": interrupt["id"],
        "reason": "tool_approval" if actions_of(interrupt) else "input_required",
        "message": in_words([interrupt]),
        "metadata": {"value": interrupt["value"]},
    }
    if len(asked) == 1 and asked[0] is not None:
        fields["toolCallId"] = asked[0].id
    if (schema := answer_schema(interrupt)) is not None:
        fields["responseSchema"] = schema
    return fields


def _usage(usage: Usage, model: str) -> dict[str, Any]:
    """The tokens that a model took; a count that is not known is left out."""
    read, made = usage.input_tokens, usage.output_tokens
    total = None if read is None or made is None else read + made
    counts = {"inputTokens": read, "outputTokens": made, "totalTokens": total}
    return {"model": model, **{name: count for name, count in counts.items() if count is not None}}
