"""The UI message stream of Vercel's AI SDK 5 to 7: `data: {json}` frames, `data: [DONE]` at the end.

Source: https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol, and what the packages' own schema of a chunk lets through.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from json.encoder import encode_basestring_ascii as escape

import msgspec

from llmstream.dialects.ai_sdk.frames import broken, data_frames, measured, numbers
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
    Withdrawn,
)
from llmstream.http.encoder import DONE, Encoder, cannot_continue, frame
from llmstream.view.interrupts import calls_of, is_batch

# By this header assistant-ui knows the stream.
HEADERS = {"x-vercel-ai-ui-message-stream": "v1"}

# By this one, where it is asked to, assistant-ui remembers what to come back to: the chat.
RESUME_HEADER = "x-resumable-stream-id"

# In the id of an approval: what follows is the number of the call, among those that an interrupt asks about together.
ONE_OF_SEVERAL = "#"
_NAMES: Mapping[type[Event], str] = {Token: "text", Reasoning: "reasoning"}  # of blocks
_REASONS = {"stop": "stop", "length": "length", "content_filter": "content-filter", "other": "other"}


class AiSdkEncoder(Encoder):
    """The `Encoder` of the AI SDK; fed from the first event and replaying all: the client begins anew too.

    message_id: of the message that this answer goes on with; None makes one of the run's id. calls: the ids of the
    calls that stand in it.
    """

    def __init__(self, run_id: str, *, message_id: str | None = None, calls: Collection[str] = ()) -> None:
        self._run_id = run_id
        self._message_id = message_id or run_id
        self._model = ""
        self._kind: type[Event] | None = None  # of the open block; its id; the message of the chain that it belongs to
        self._id = ""
        self._message: str | None = None
        self._blocks = 0
        self._delta = ""
        self._known = set(calls)  # the calls that the client was told of
        # What becomes of the calls in a message that goes on belongs to the step that they stand in.
        self._in_step = not self._known
        self._calls: dict[str, ToolCall | None] = {}  # of this step; None once the chain has answered one
        self._told: set[str | None] = set()  # the messages of the chain

    def encode(self, first: int, events: Sequence[Event]) -> bytes:
        """The frames of these events."""
        frames: list[str] = []
        for event in events:
            if type(event) is Token or type(event) is Reasoning:
                if type(event) is not self._kind or event.message != self._message:
                    frames.append(self._open(event))
                frames.append(f"{self._delta}{escape(event.text)}}}\n\n")
            else:
                frames.append(self._rare(event))
        return "".join(frames).encode("ascii")

    def _open(self, event: Token | Reasoning) -> str:
        """The frames that begin a block of text or thought, after those that end the block before, maybe its step."""
        before = self._close() + self._next_step(another=bool(self._told) and event.message != self._message)
        before += self._begin_step()
        self._blocks += 1
        name = _NAMES[type(event)]
        self._kind, self._id, self._message = type(event), f"{name}-{self._blocks}", event.message
        self._told.add(event.message)
        # Everything of a token's frame that does not change: this is written once per token.
        self._delta = f'data: {{"type":"{name}-delta","id":"{self._id}","delta":'
        told = self._told_of(event.message, event.name)
        metadata = {"providerMetadata": {"llmstream": told}} if told else {}
        return before + frame(f"{name}-start", id=self._id, **metadata)

    def _told_of(self, message: str | None, name: str | None) -> dict[str, str]:
        """The fields that tell a page to which message of the chain a part belongs."""
        told = {} if message is None else {"message": self._message_id_of(message)}
        return told if name is None else {**told, "name": name}

    def _message_id_of(self, message: str) -> str:
        """The id of a message of the chain, which no other run in the client's message has."""
        return f"{self._run_id[:8]}-{message}"

    def _close(self) -> str:
        kind, self._kind = self._kind, None
        return frame(f"{_NAMES[kind]}-end", id=self._id) if kind else ""

    def _next_step(self, *, another: bool = False) -> str:
        """The frames of a new step: for another message of the chain, and after calls that the chain answered.

        Else the client would take two messages for one, and send the answers back by itself.
        """
        if not (self._calls or another) or any(self._calls.values()):
            return ""
        self._calls.clear()
        return frame("finish-step") + frame("start-step")

    def _begin_step(self) -> str:
        is_begun, self._in_step = self._in_step, True
        return "" if is_begun else frame("start-step")

    def _rare(self, event: Event) -> str:
        match event:
            case Started():
                self._model = event.model
                start = frame("start", messageId=self._message_id, messageMetadata={"model": event.model})
                return start + (frame("start-step") if self._in_step else "")
            case Status():
                return frame("data-status", data=msgspec.to_builtins(event), transient=True)
            case ToolCall() if event.id in self._known:  # which a person has decided on, and maybe changed
                call = {"toolCallId": event.id, "toolName": event.name}
                return "" if self._in_step else frame("tool-input-available", **call, input=event.arguments)
            case ToolCall():
                return self._close() + self._next_step() + self._call(event)
            case ToolResult() if event.id in self._known:
                self._answered(event.id)
                return frame("tool-output-available", toolCallId=event.id, output=event.output)
            case Withdrawn():
                return self._withdraw(event)
            case ToolResult():  # of a call nobody heard of: the client would throw
                return frame("data-tool-result", data={"id": event.id, "output": event.output})
            case Data():
                return self._close() + data_frames(event, self._told_of(event.message, None))
            case Interrupted():
                return self._close() + self._asks(event) + DONE
            case Finished() | Failed() | Cancelled():
                return self._close() + self._end(event) + DONE
        return ""

    def _call(self, event: ToolCall) -> str:
        begin = self._begin_step()
        self._blocks += 1
        call_id = event.id or f"{self._run_id}-{self._blocks}"
        call = {"toolCallId": call_id, "toolName": event.name}
        self._known.add(call_id)
        self._calls[call_id] = msgspec.structs.replace(event, id=call_id)
        self._told.add(event.message)
        return begin + frame("tool-input-start", **call) + frame("tool-input-available", **call, input=event.arguments)

    def _answered(self, call_id: str) -> None:
        if call_id in self._calls:
            self._calls[call_id] = None

    def _withdraw(self, event: Withdrawn) -> str:
        """The frames that end a withdrawn message; a page that knows of it may drop its parts.

        The SDK itself can't take a part back; a call is made nobody's.
        """
        if event.message not in self._told:
            return ""
        frames = [self._close() if self._kind and self._message == event.message else ""]
        calls = [call.id for call in self._calls.values() if call and call.message == event.message]
        for call_id in calls:
            self._answered(call_id)
            frames.append(frame("tool-output-error", toolCallId=call_id, errorText="The call was taken back."))
        data = {"message": self._message_id_of(event.message), "calls": calls}
        return "".join([*frames, frame("data-withdrawn", data=data)])

    def _asks(self, event: Interrupted) -> str:
        """The frames of a question to a person, for every page; then the approvals, which AI SDK 5 does not know."""
        frames = [frame("data-interrupt", data=each) for each in event.interrupts]
        approvals = "".join(map(self._approvals, event.interrupts))
        metadata = {"model": self._model, "reason": "interrupted", **measured(event)}
        end = frame("finish", finishReason="tool-calls" if approvals else "stop", messageMetadata=metadata)
        return "".join([*frames, approvals, frame("finish-step"), end])

    def _approvals(self, interrupt: Interrupt) -> str:
        frames: list[str] = []
        waiting = [call for call in self._calls.values() if call]
        for n, (action, call) in enumerate(calls_of(interrupt, waiting)):
            call_id = call.id if call else action.call_id or f"{interrupt['id']}-{n}"
            if call_id not in self._known:
                frames.append(self._call(ToolCall(call_id, action.name, dict(action.arguments))))
            approval_id = f"{interrupt['id']}{ONE_OF_SEVERAL}{n}" if is_batch(interrupt) else interrupt["id"]
            frames.append(frame("tool-approval-request", approvalId=approval_id, toolCallId=call_id))
        return "".join(frames)

    def _end(self, event: Finished | Failed | Cancelled) -> str:
        if isinstance(event, Failed):
            return broken(event.message)
        if isinstance(event, Cancelled):  # the hook takes no note of an abort, but the page can see the metadata
            told = frame("message-metadata", messageMetadata={"cancelled": event.by})
            return told + frame("abort") + frame("finish", finishReason="other")
        step = self._next_step() + self._begin_step() + frame("finish-step")
        reason = "tool-calls" if any(self._calls.values()) else _REASONS.get(event.reason, "stop")
        metadata = {"model": self._model, **numbers(event)}
        return step + frame("finish", finishReason=reason, messageMetadata=metadata)

    def lost(self, reason: str) -> bytes:
        """An error frame: the client would have to ask again."""
        return (broken(cannot_continue(reason)) + DONE).encode("ascii")
