"""The end of an answer in words, the same for every surface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from llmstream.events import Cancelled, CancelledBy, Failed, Finished, FinishReason, Terminal

EndState = Literal["finished", "failed", "cancelled", "interrupted"]

# Why an answer was stopped, for those who read a failure as text.
STOPPED: Mapping[CancelledBy, str] = {
    "stop": "The answer was stopped.",
    "left": "The answer was stopped: nobody was reading it.",
    "replaced": "The answer was replaced by a newer question.",
}

NOTHING = "The model answered nothing."

_UNFINISHED: Mapping[FinishReason, str] = {
    "length": "The answer was cut at its length limit.",
    "content_filter": "The answer was cut by a content filter.",
    "tool_calls": "The model asks for a tool, and nothing here calls it.",
}


def end_state(end: Terminal) -> EndState:
    """The state of a run that has ended so."""
    state: Any = end.__struct_config__.tag
    return state  # type: ignore[no-any-return]


def why_incomplete(end: Terminal) -> str:
    """The sentence that says why a person has not got a whole answer; empty where it is complete."""
    match end:
        case Failed():
            return end.message
        case Cancelled():
            return STOPPED[end.by]
        case Finished():
            return _UNFINISHED.get(end.reason, "")
    return "The answer waits for you."
