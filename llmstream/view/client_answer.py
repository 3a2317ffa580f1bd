"""An answer for a client that reads one text and one thinking, and makes the calls that nobody here has made."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from llmstream.events import Event, Finished, FinishReason, Interrupted, Reasoning, Started, Token, ToolCall
from llmstream.view.answer import AnswerText, OneText, whole_text
from llmstream.view.client_calls import ClientCalls
from llmstream.view.interrupts import ASK_ELSEWHERE


class ClientAnswer:
    """An answer as it comes.

    texts: the answer's text under `Token`, its thinking under `Reasoning`. max_calls: as of `ClientCalls`.
    """

    def __init__(self, max_calls: int | None = None) -> None:
        self.texts: Mapping[type[Event], OneText] = {Token: OneText(ASK_ELSEWHERE), Reasoning: OneText()}
        self._calls = ClientCalls(max_calls)

    def rare(self, event: Event) -> str:
        """The text to add to the answer for an event that is no text; empty for most."""
        self._calls.note(event)
        self.texts[Reasoning].rare(event)
        return self.texts[Token].rare(event)

    def calls(self, run_id: str) -> Mapping[str, ToolCall]:
        """The calls that are left to the client, by their ids; see `ClientCalls.by_id`."""
        return self._calls.by_id(run_id)


@dataclass(frozen=True)
class WholeAnswer:
    """An answer that is complete, or asks something: without what was taken back; created_at: in seconds since 1970."""

    text: str
    thinking: str
    calls: Mapping[str, ToolCall]
    created_at: float
    end: Finished | Interrupted

    @classmethod
    def of(cls, run_id: str, events: Sequence[Event], max_calls: int | None = None) -> WholeAnswer:
        """The answer of all events of a run that ended so; max_calls: as of `ClientCalls`."""
        answer, calls = AnswerText(), ClientCalls(max_calls)
        answer.put(events)
        for event in events:
            calls.note(event)
        created_at = next((event.created_at for event in events if isinstance(event, Started)), 0.0)
        end = next(event for event in reversed(events) if isinstance(event, Finished | Interrupted))
        return cls(whole_text(events, ASK_ELSEWHERE), answer.reasoning, calls.by_id(run_id), created_at, end)


def finish_reason(end: Finished | Interrupted, calls: Collection[str]) -> FinishReason:
    """The reason of an end, for a client that is left with these calls."""
    if calls:
        return "tool_calls"
    # A graph that waits has asked in words, and of calls that were made here a client hears nothing.
    return "stop" if isinstance(end, Interrupted) or end.reason == "tool_calls" else end.reason
