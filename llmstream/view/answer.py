"""The sum of a run's events: the text of record, whatever was said and withdrawn on the way."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from llmstream.events import Data, Event, Finished, Interrupted, Reasoning, Token, Withdrawn
from llmstream.view.interrupts import in_words

BETWEEN_MESSAGES = "\n\n"

_BESIDE = ("sources", "custom")  # an answer
_BARE = frozenset(("output", "item", "parsed"))  # the names of values that have none of their own


class Answer:
    """The text, the thinking and the objects of a run so far, message by message."""

    def __init__(self) -> None:
        self._objects: dict[str, Any] = {}
        self._text: dict[str | None, list[str]] = {}
        self._reasoning: dict[str | None, list[str]] = {}

    def put(self, events: Iterable[Event]) -> None:
        """Takes events in."""
        for event in events:
            if isinstance(event, Token):
                self._text.setdefault(event.message, []).append(event.text)
            elif isinstance(event, Reasoning):
                self._reasoning.setdefault(event.message, []).append(event.text)
            elif isinstance(event, Data) and event.name not in _BESIDE:
                self._objects[event.name] = event.value
            elif isinstance(event, Withdrawn):
                self._text.pop(event.message, None)
                self._reasoning.pop(event.message, None)

    @property
    def text(self) -> str:
        """The messages that stand, with a blank line between them."""
        return BETWEEN_MESSAGES.join("".join(pieces) for pieces in self._text.values())

    @property
    def reasoning(self) -> str:
        """The thinking of the messages that stand."""
        return BETWEEN_MESSAGES.join("".join(pieces) for pieces in self._reasoning.values())

    @property
    def output(self) -> Any:
        """The object that the chain makes, or its objects by their names; None where it makes none."""
        return _output(self._objects)


def _output(objects: Mapping[str, Any]) -> Any:
    if not objects:
        return None
    return next(iter(objects.values())) if objects.keys() <= _BARE else dict(objects)


_NOTHING = object()
_ASKED = "interrupted"  # the message in which a graph asks


class OneText:
    """An answer for those who read one text that only grows: a blank line where another message begins.

    message: the one that is being said; pieces of the same one need not go through `piece`.
    """

    def __init__(self) -> None:
        self.message: object = _NOTHING
        self._said = False
        self._data: dict[str, Any] = {}

    def piece(self, piece: Token | Reasoning) -> str:
        """The text to add for a piece of the answer, or of the thinking, which is a text of its own."""
        is_new = self._said and piece.message != self.message
        self.message, self._said = piece.message, True
        return BETWEEN_MESSAGES + piece.text if is_new else piece.text

    def rare(self, event: Event) -> str:
        """The text to add for any other event; empty for most.

        What a graph asks is told in words; an answer that is an object and no text is told as JSON. What was said of a
        message that is withdrawn stays; if more comes under its id, that is another message.
        """
        if isinstance(event, Withdrawn) and event.message == self.message:
            self.message = _NOTHING
        elif isinstance(event, Data) and event.name not in _BESIDE:
            self._data[event.name] = event.value
        elif isinstance(event, Interrupted):
            return self.piece(Token(in_words(event.interrupts), _ASKED))
        elif isinstance(event, Finished) and not self._said and self._data and event.reason != "tool_calls":
            return json.dumps(_output(self._data), ensure_ascii=False)
        return ""


def whole_text(events: Iterable[Event]) -> str:
    """The text of a run that has ended, for those who read one text."""
    answer, rest = Answer(), OneText()
    events = list(events)
    answer.put(events)
    if answer.text:
        rest.piece(Token(answer.text))
    return answer.text + "".join(rest.rare(event) for event in events)
