"""The sum of a run's events: the text of record, whatever was said and withdrawn on the way."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from llmstream.events import (
    TERMINAL,
    Data,
    Event,
    Finished,
    Interrupted,
    Reasoning,
    Started,
    Terminal,
    Token,
    Withdrawn,
)
from llmstream.view.interrupts import in_words

BETWEEN_MESSAGES = "\n\n"

_BESIDE = ("sources", "custom")  # an answer
_BARE = frozenset(("output", "item", "parsed"))  # the names of values that have none of their own


class AnswerText:
    """The text, the thinking and the objects of a run so far, message by message.

    model: that answers, empty until the run has begun. end: the terminal event.
    """

    def __init__(self) -> None:
        self.model = ""
        self.end: Terminal | None = None
        self._objects = _Objects()
        self._text: dict[str | None, list[str]] = {}
        self._reasoning: dict[str | None, list[str]] = {}

    def put(self, events: Iterable[Event]) -> None:
        """Takes events in."""
        for event in events:
            if isinstance(event, Token):
                self._text.setdefault(event.message, []).append(event.text)
            elif isinstance(event, Reasoning):
                self._reasoning.setdefault(event.message, []).append(event.text)
            elif isinstance(event, Data):
                self._objects.put(event)
            elif isinstance(event, Withdrawn):
                self._text.pop(event.message, None)
                self._reasoning.pop(event.message, None)
            elif isinstance(event, Started):
                self.model = event.model
            elif isinstance(event, TERMINAL):
                self.end = event

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
        return self._objects.value


class _Objects:
    """The objects that a chain gives, by their names; what has no name of its own stands for itself."""

    def __init__(self) -> None:
        self._named: dict[str, Any] = {}
        self._items: list[Any] = []

    def put(self, event: Data) -> None:
        if event.name == "item":
            self._items.append(event.value)
            self._named["item"] = event.value if len(self._items) == 1 else list(self._items)
        elif event.name not in _BESIDE:
            self._named[event.name] = event.value

    @property
    def value(self) -> Any:
        """The object, or all by their names; None where there is none."""
        return next(iter(self._named.values()), None) if self._named.keys() <= _BARE else dict(self._named)


def parsed(text: str) -> Any:
    """The value of a JSON text; None for what is none, or not all of one."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


_NOTHING = object()
_ASKED = "interrupted"  # the message in which a graph asks
_BEGINNING = 40


class OneText:
    """An answer for those who read one text that only grows: a blank line where another message begins.

    What was said of a message that is withdrawn stays, and a sentence says that it was taken back.

    message: the one that is being said; tokens of the same one need not go through `text_of`. note: a sentence behind
    what a graph asks.
    """

    def __init__(self, note: str = "") -> None:
        self._note = note
        self.message: object = _NOTHING
        self._said = False
        self._standing: dict[str | None, str] = {}  # the beginnings of the messages that were not withdrawn
        self._taken_back: list[str] = []  # what is to be said of those that were, once the one being said is over
        self._objects = _Objects()

    def text_of(self, event: Token | Reasoning) -> str:
        """The text to add for a token of the answer, or of the thinking, which is a text of its own."""
        if event.message == self.message:
            return event.text
        texts = [*([""] if self._said else []), *self._taken_back, event.text]
        self._taken_back.clear()
        self._standing[event.message] = event.text
        self.message, self._said = event.message, True
        return BETWEEN_MESSAGES.join(texts)

    def rare(self, event: Event) -> str:
        """The text to add for any other event; empty for most.

        What a graph asks is told in words; an answer that is an object and no text is told as JSON. If more comes under
        the id of a message that was withdrawn, that is another message.
        """
        if isinstance(event, Withdrawn):
            self._withdraw(event.message)
        elif isinstance(event, Data):
            self._objects.put(event)
        elif isinstance(event, Interrupted):
            asked = [in_words(event.interrupts), *([self._note] if self._note else [])]
            return self.text_of(Token(BETWEEN_MESSAGES.join(asked), _ASKED))
        elif isinstance(event, Finished):
            is_object = not self._standing and event.reason != "tool_calls" and self._objects.value is not None
            rest = [*self._taken_back, *([json.dumps(self._objects.value, ensure_ascii=False)] if is_object else [])]
            return BETWEEN_MESSAGES.join([*([""] if self._said and rest else []), *rest])
        return ""

    def _withdraw(self, message: str) -> None:
        if (said := self._standing.pop(message, None)) is None:
            return
        which = "" if message == self.message else f" that begins with “{' '.join(said.split())[:_BEGINNING]}”"
        self._taken_back.append(f"(The text above{which} was taken back.)")
        if message == self.message:
            self.message = _NOTHING


def whole_text(events: Iterable[Event], note: str = "") -> str:
    """The text of a run that has ended, for those who read one text; note: as of `OneText`."""
    answer, rest = AnswerText(), OneText(note)
    events = list(events)
    answer.put(events)
    if answer.text:
        rest.text_of(Token(answer.text))
    return answer.text + "".join(rest.rare(event) for event in events)
