"""The sum of a run's events: the text of record, whatever was said and withdrawn on the way."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from llmstream.events import Data, Event, Finished, Interrupted, Reasoning, Token, Withdrawn
from llmstream.view.interrupts import in_words

BETWEEN_MESSAGES = "\n\n"


class Answer:
    """The text and the thinking of a run so far, message by message."""

    def __init__(self) -> None:
        self._text: dict[str | None, list[str]] = {}
        self._reasoning: dict[str | None, list[str]] = {}

    def put(self, events: Iterable[Event]) -> None:
        """Takes events in."""
        for event in events:
            if isinstance(event, Token):
                self._text.setdefault(event.message, []).append(event.text)
            elif isinstance(event, Reasoning):
                self._reasoning.setdefault(event.message, []).append(event.text)
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


_NOTHING = object()
_ASKED = "interrupted"  # the message in which a graph asks
_NO_ANSWER = ("sources", "custom")  # beside an answer
_BARE = frozenset(("output", "item", "parsed"))  # the names of values that have none of their own


class OneText:
    """An answer for those who read one text that only grows: a blank line where another message begins.

    message: the one that is being said; pieces of the same one need not go through `piece`. note: a sentence behind
    what a graph asks.
    """

    def __init__(self, note: str = "") -> None:
        self._note = note
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
        elif isinstance(event, Data) and event.name not in _NO_ANSWER:
            self._data[event.name] = event.value
        elif isinstance(event, Interrupted):
            asked = [in_words(event.interrupts), *([self._note] if self._note else [])]
            return self.piece(Token(BETWEEN_MESSAGES.join(asked), _ASKED))
        elif isinstance(event, Finished) and not self._said and self._data and event.reason != "tool_calls":
            bare = next(iter(self._data.values())) if self._data.keys() <= _BARE else self._data
            return json.dumps(bare, ensure_ascii=False)
        return ""


def whole_text(events: Iterable[Event], note: str = "") -> str:
    """The text of a run that has ended, for those who read one text; note: as of `OneText`."""
    answer, rest = Answer(), OneText(note)
    events = list(events)
    answer.put(events)
    if answer.text:
        rest.piece(Token(answer.text))
    return answer.text + "".join(rest.rare(event) for event in events)
