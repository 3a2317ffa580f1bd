"""What the events of a run add up to: the text of record, whatever was said and withdrawn on the way."""

from __future__ import annotations

from collections.abc import Iterable

from llmstream.events import Event, Reasoning, Token, Withdrawn

BETWEEN_MESSAGES = "\n\n"


class Answer:
    """The text and the thinking of a run so far, message by message."""

    def __init__(self) -> None:
        self._text: dict[str | None, list[str]] = {}
        self._reasoning: dict[str | None, list[str]] = {}

    def put(self, events: Iterable[Event]) -> None:
        """Take events in."""
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


class OneText:
    """An answer for those who read one text that only grows: a blank line where another message begins.

    message: the one that is being said; pieces of the same one need not go through `piece`.
    """

    def __init__(self) -> None:
        self.message: object = _NOTHING
        self._said = False

    def piece(self, piece: Token | Reasoning) -> str:
        """The text to add for a piece of the answer, or of the thinking, which is a text of its own."""
        is_new = self._said and piece.message != self.message
        self.message, self._said = piece.message, True
        return BETWEEN_MESSAGES + piece.text if is_new else piece.text

    def withdraw(self, event: Withdrawn) -> None:
        """What has been said of the message stays; if more comes under its id, that is another message."""
        if event.message == self.message:
            self.message = _NOTHING
