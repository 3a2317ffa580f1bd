"""The tool calls of a run that are left to its client."""

from __future__ import annotations

from collections.abc import Mapping

from llmstream.events import Event, Interrupted, ToolCall, ToolResult, Withdrawn


class ClientCalls:
    """The calls that the chain has neither answered nor withdrawn: those the client is asked to make.

    max_calls: how many of them it takes at once, None for any number; the model asks for the others again.
    """

    def __init__(self, max_calls: int | None = None) -> None:
        self._max_calls = max_calls
        self._open: dict[str, ToolCall] = {}
        self._count = 0

    def note(self, event: Event) -> None:
        """Takes in an event that may be a call, a result, a message taken back with its calls, or the end."""
        if isinstance(event, ToolCall):
            self._count += 1
            self._open[event.id or f"{self._count}"] = event
        elif isinstance(event, ToolResult):
            self._open.pop(event.id, None)
        elif isinstance(event, Withdrawn):
            self._open = {key: call for key, call in self._open.items() if call.message != event.message}
        elif isinstance(event, Interrupted):  # the calls that a graph waits with are not the client's
            self._open = {}

    def by_id(self, run_id: str) -> Mapping[str, ToolCall]:
        """The calls by their ids; one without an id of its own gets one that is the same whenever it is asked for."""
        calls = list(self._open.items())[: self._max_calls]
        return {call.id or f"call_{run_id[:8]}_{key}": call for key, call in calls}
