"""The items of a response's output: what the model said, what it thought, the calls that its client is to make."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from llmstream.events import Event, Reasoning, Token, ToolCall


@dataclass(frozen=True)
class _Kind:
    """The form of an item of text, which has one part.

    id: the beginning of its id. item, part: their fixed fields. holder: the field of the item that lists its part.
    part_events, text_events: the beginnings of the names of their events. place: of the part, in each of these. told:
    further fields of the events of the text.
    """

    id: str
    item: dict[str, Any]
    holder: str
    part: dict[str, Any]
    part_events: str
    text_events: str
    place: dict[str, Any]
    told: dict[str, Any]


_MESSAGE = _Kind(
    id="msg",
    item={"type": "message", "role": "assistant"},
    holder="content",
    part={"type": "output_text", "annotations": [], "logprobs": []},
    part_events="response.content_part",
    text_events="response.output_text",
    place={"content_index": 0},
    told={"logprobs": []},
)
# As a summary, because that is what Codex, the AI SDK and LangChain show.
_THOUGHT = _Kind(
    id="rs",
    item={"type": "reasoning"},
    holder="summary",
    part={"type": "summary_text"},
    part_events="response.reasoning_summary_part",
    text_events="response.reasoning_summary_text",
    place={"summary_index": 0},
    told={},
)
_KINDS: dict[type[Event], _Kind] = {Token: _MESSAGE, Reasoning: _THOUGHT}


@dataclass
class TextItem:
    """An item that is a text, while it grows.

    index: its place in the output. first: the number of the event that it begins with, by which it is named: what comes
    before it may be left out later.
    """

    run_id: str
    index: int
    first: int
    holds: type[Event]
    pieces: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kind = _KINDS[self.holds]
        self.id = f"{self.kind.id}_{self.run_id}_{self.first}"
        self.at = {"item_id": self.id, "output_index": self.index, **self.kind.place}

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self.pieces)

    def part(self) -> dict[str, Any]:
        """The one part of the item."""
        return {**self.kind.part, "text": self.text}

    def item(self, status: str, *, empty: bool = False) -> dict[str, Any]:
        """The item; empty: without its part, as it is announced."""
        parts = [] if empty else [self.part()]
        return {"id": self.id, **self.kind.item, "status": status, self.kind.holder: parts}


def call_item(run_id: str, number: int, call_id: str, call: ToolCall) -> dict[str, Any]:
    """A call as an item; number: by which it is named."""
    return {
        "id": f"fc_{run_id}_{number}",
        "type": "function_call",
        "status": "completed",
        "call_id": call_id,
        "name": call.name,
        "arguments": json.dumps(call.arguments),
    }
