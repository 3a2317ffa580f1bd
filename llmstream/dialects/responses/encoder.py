"""OpenAI's Responses: a stream of numbered events.

Source: https://platform.openai.com/docs/api-reference/responses-streaming, and what the official clients read.
"""

from __future__ import annotations

from collections.abc import Sequence
from json.encoder import encode_basestring_ascii as escape
from typing import Any

from llmstream.dialects.responses.output import TextItem, call_item
from llmstream.dialects.responses.resource import RepeatedFields, resource, status_of
from llmstream.events import TERMINAL, Event, Finished, Interrupted, Reasoning, Started, Terminal, Token, ToolCall
from llmstream.http.encoder import Encoder, dumps, named_frame
from llmstream.view.client_answer import ClientAnswer

# How a response that has ended is told; one that was stopped has no event of its own.
_ENDS = {"completed": "completed", "incomplete": "incomplete", "failed": "failed", "cancelled": "failed"}


class ResponsesEncoder(Encoder):
    """The `Encoder` of Responses; fed from the first event, so that an event's number is the same whenever it is told.

    said: what of the request the response repeats. after: the number of the last event that the client has.
    """

    def __init__(self, run_id: str, said: RepeatedFields | None = None, *, after: int = -1) -> None:
        self._run_id = run_id
        self._said = said or RepeatedFields()
        self._after = after
        self._number = -1
        self._started = Started("", 0)
        self._end: Terminal | None = None
        self._answer = ClientAnswer(self._said.max_calls)
        self._output: list[dict[str, Any]] = []
        self._open: TextItem | None = None
        self._delta = ""

    @property
    def response(self) -> dict[str, Any]:
        """The response as far as it was fed."""
        status = "in_progress" if self._end is None else "incomplete"
        rest = [] if self._open is None else [self._open.item(status)]
        return resource(self._run_id, self._said, self._started, [*self._output, *rest], self._end)

    def encode(self, first: int, events: Sequence[Event]) -> bytes:
        """The messages for these events."""
        frames: list[str] = []
        texts = self._answer.texts
        for place, event in enumerate(events, first):
            if type(event) is Token or type(event) is Reasoning:
                frames.append(self._say(place, type(event), texts[type(event)].text_of(event)))
            else:
                frames.append(self._rare(place, event))
        return "".join(frames).encode("ascii")

    def _say(self, place: int, holds: type[Event], text: str) -> str:
        item, begun = self._open, ""
        if item is None or item.holds is not holds:
            item, begun = self._begin(place, holds)
        item.pieces.append(text)
        self._number = number = self._number + 1
        return f'{begun}{self._delta}{number},"delta":{escape(text)}}}\n\n' if number > self._after else begun

    def _rare(self, place: int, event: Event) -> str:
        text = self._answer.rare(event)
        said = self._say(place, Token, text) if text else ""
        if isinstance(event, Started):
            self._started = event
            return "".join(
                self._frame(f"response.{kind}", response=self.response) for kind in ("created", "in_progress")
            )
        return said + self._finish(place, event) if isinstance(event, TERMINAL) else said

    def _begin(self, place: int, holds: type[Event]) -> tuple[TextItem, str]:
        ended = self._close("completed")
        self._open = item = TextItem(self._run_id, len(self._output), place, holds)
        fields = dumps({"type": f"{item.kind.text_events}.delta", **item.at, **item.kind.told})[:-1]
        self._delta = f'event: {item.kind.text_events}.delta\ndata: {fields},"sequence_number":'
        begun = {"output_index": item.index, "item": item.item("in_progress", empty=True)}
        added = self._frame("response.output_item.added", **begun)
        return item, ended + added + self._frame(f"{item.kind.part_events}.added", **item.at, part=item.part())

    def _close(self, status: str) -> str:
        item, self._open = self._open, None
        if item is None:
            return ""
        self._output.append(item.item(status))
        text = self._frame(f"{item.kind.text_events}.done", **item.at, **item.kind.told, text=item.text)
        part = self._frame(f"{item.kind.part_events}.done", **item.at, part=item.part())
        return text + part + self._frame("response.output_item.done", output_index=item.index, item=self._output[-1])

    def _finish(self, place: int, end: Terminal) -> str:
        self._end = end
        frames: list[str] = []
        if isinstance(end, Finished | Interrupted):  # the text of one that failed is not done
            calls = self._answer.calls(self._run_id).items()
            frames = [self._close(status_of(end)), *(self._call(n, *each) for n, each in enumerate(calls, place))]
        if self._number + 1 < self._after:
            return self.lost("future").decode()
        return "".join([*frames, self._frame(f"response.{_ENDS[status_of(end)]}", response=self.response)])

    def _call(self, number: int, call_id: str, call: ToolCall) -> str:
        item = call_item(self._run_id, number, call_id, call)
        at = {"output_index": len(self._output)}
        self._output.append(item)
        begun, text = {**item, "status": "in_progress", "arguments": ""}, item["arguments"]
        frames = [
            self._frame("response.output_item.added", **at, item=begun),
            self._frame("response.function_call_arguments.delta", item_id=item["id"], **at, delta=text),
            self._frame(
                "response.function_call_arguments.done", item_id=item["id"], **at, name=call.name, arguments=text
            ),
            self._frame("response.output_item.done", **at, item=item),
        ]
        return "".join(frames)

    def _frame(self, kind: str, **fields: Any) -> str:
        self._number += 1
        if self._number <= self._after:
            return ""
        return named_frame(kind, sequence_number=self._number, **fields)

    def lost(self, reason: str) -> bytes:
        """An error, as both official clients raise it."""
        error = {"type": "invalid_request_error", "code": "run_not_found", "param": None}
        error["message"] = f"This response can't be continued from there ({reason}). Ask for it from its start."
        return named_frame("error", sequence_number=self._number + 1, error=error).encode("ascii")
