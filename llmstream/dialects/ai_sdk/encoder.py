"""The UI message stream of Vercel's AI SDK 5 to 7: `data: {json}` frames, `data: [DONE]` at the end.

Source: https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol, and what the packages' own schema of a chunk lets through.
"""

from __future__ import annotations

from collections.abc import Sequence
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

# By this header assistant-ui knows the stream.
HEADERS = {"x-vercel-ai-ui-message-stream": "v1"}

# By this one, where it is asked to, assistant-ui remembers what to come back to: the chat.
RESUME_HEADER = "x-resumable-stream-id"
DONE = "data: [DONE]\n\n"
_REASONS = {"stop": "stop", "length": "length", "content_filter": "content-filter", "other": "other"}


class AiSdkEncoder:
    """See `encoder.Encoder`; fed from the first event, and replays all of them: the client begins anew too.

    message_id: of the message that this answer goes on with; None makes one of the run's id.
    """

    def __init__(self, run_id: str, *, message_id: str | None = None) -> None:
        self.start = 0
        self._run_id = run_id
        self._message_id = message_id or run_id
        self._model = ""
        self._block = ""  # the open one, and the id it has
        self._id = ""
        self._blocks = 0
        self._delta = ""
        self._calls: dict[str, bool] = {}  # id → whether the chain has answered it

    def encode(self, first: int, events: Sequence[Event]) -> bytes:
        """The frames of these events."""
        frames: list[str] = []
        for event in events:
            if type(event) is Token:
                if self._block != "text":
                    frames.append(self._open("text"))
                frames.append(f"{self._delta}{escape(event.text)}}}\n\n")
            elif type(event) is Reasoning:
                if self._block != "reasoning":
                    frames.append(self._open("reasoning"))
                frames.append(f"{self._delta}{escape(event.text)}}}\n\n")
            else:
                frames.append(self._rare(event))
        return "".join(frames).encode("ascii")

    def _open(self, kind: str) -> str:
        """The start of a block of text or thought; the one before is over, and so is a step with answered calls."""
        before = self._close() + self._next_step()
        self._blocks += 1
        self._block, self._id = kind, f"{kind}-{self._blocks}"
        # Everything of a token's frame that does not change: this is written once per token.
        self._delta = f'data: {{"type":"{kind}-delta","id":"{self._id}","delta":'
        return before + frame(f"{kind}-start", id=self._id)

    def _close(self) -> str:
        kind, self._block = self._block, ""
        return frame(f"{kind}-end", id=self._id) if kind else ""

    def _next_step(self) -> str:
        """A new step after calls that the chain answered, or the client would send the answers back by itself."""
        if not self._calls or not all(self._calls.values()):
            return ""
        self._calls.clear()
        return frame("finish-step") + frame("start-step")

    def _rare(self, event: Event) -> str:
        match event:
            case Started():
                self._model = event.model
                metadata = {"model": event.model}
                return frame("start", messageId=self._message_id, messageMetadata=metadata) + frame("start-step")
            case Status():
                return frame("data-status", data=msgspec.to_builtins(event), transient=True)
            case ToolCall():
                return self._close() + self._next_step() + self._call(event)
            case ToolResult() if event.id in self._calls:
                self._calls[event.id] = True
                return frame("tool-output-available", toolCallId=event.id, output=event.output)
            case ToolResult():  # of a call nobody heard of: the client would throw
                return frame("data-tool-result", data={"id": event.id, "output": event.output})
            case Data():
                return self._close() + data_frames(event)
            case Finished() | Failed() | Cancelled():
                return self._close() + self._end(event) + DONE
        return ""

    def _call(self, event: ToolCall) -> str:
        self._blocks += 1
        call = {"toolCallId": event.id or f"{self._run_id}-{self._blocks}", "toolName": event.name}
        self._calls[call["toolCallId"]] = False
        return frame("tool-input-start", **call) + frame("tool-input-available", **call, input=event.arguments)

    def _end(self, event: Finished | Failed | Cancelled) -> str:
        if isinstance(event, Failed):
            return frame("error", errorText=event.message)
        if isinstance(event, Cancelled):  # the hook takes no note of an abort, but the page can see the metadata
            return frame("message-metadata", messageMetadata={"cancelled": event.by}) + frame("abort")
        step = self._next_step() + frame("finish-step")
        reason = "tool-calls" if self._calls else _REASONS.get(event.reason, "stop")
        metadata = {"model": self._model, **numbers(event)}
        return step + frame("finish", finishReason=reason, messageMetadata=metadata)

    def lost(self, reason: str) -> bytes:
        """An error: the client would have to ask again."""
        text = f"This answer can't be continued from there ({reason}). Ask again."
        return (frame("error", errorText=text) + DONE).encode("ascii")


def frame(kind: str, **fields: Any) -> str:
    """One frame."""
    return f"data: {dumps({'type': kind, **fields})}\n\n"


def numbers(event: Finished) -> dict[str, Any]:
    """What the end of an answer tells; the reason as well, because not every page is shown the finish."""
    usage, timings = msgspec.to_builtins(event.usage), msgspec.to_builtins(event.timings)
    fields: dict[str, Any] = {"reason": event.reason, "usage": usage, "timings": timings}
    return {**fields, "prompt_truncated": True} if event.prompt_truncated else fields


def data_frames(event: Data) -> str:
    """Sources as the SDK knows them, anything else as a data part."""
    if event.name != "sources" or not isinstance(event.value, list):
        return frame(f"data-{event.name}", data=event.value)
    return "".join(_source(n, source) for n, source in enumerate(event.value, 1) if isinstance(source, dict))


def _source(number: int, source: dict[str, Any]) -> str:
    title = str(source.get("title") or "Untitled")
    fields: dict[str, Any] = {"sourceId": f"source-{number}", "title": title}
    if source.get("excerpt"):
        fields["providerMetadata"] = {"llmstream": {"excerpt": source["excerpt"]}}
    if source.get("url"):
        return frame("source-url", url=source["url"], **fields)
    return frame("source-document", mediaType="text/plain", **fields)
