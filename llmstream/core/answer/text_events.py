"""A text as events of bounded size, whatever pieces it comes in and wherever they cut it."""

from __future__ import annotations

from typing import TypeAlias

from llmstream.events import Reasoning, Token, well_formed

# So that an event's JSON stays under 16 kB whatever the text: a character takes up to 12 bytes of ASCII escapes.
MAX_TEXT = 1300

TextEvent: TypeAlias = Token | Reasoning


class TextEvents:
    """Cuts a long text, and joins the halves of a surrogate pair that came apart.

    held: a half whose other half may come next; empty where there is none.
    """

    def __init__(self) -> None:
        self.held = ""
        self._held_as: tuple[type[TextEvent], str | None, str | None] = (Token, None, None)

    def cut(self, kind: type[TextEvent], text: str, message: str | None, name: str | None) -> list[TextEvent]:
        """The events of a text; a half that never gets its other one is U+FFFD."""
        pieces = self.release() if (kind, message, name) != self._held_as else []
        text, self.held = self.held + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self.held, self._held_as = text[:-1], text[-1], (kind, message, name)
        text = well_formed(text)
        return pieces + [kind(text[start : start + MAX_TEXT], message, name) for start in range(0, len(text), MAX_TEXT)]

    def release(self) -> list[TextEvent]:
        """The held half of a surrogate pair whose other half never came."""
        held, self.held = self.held, ""
        kind, message, name = self._held_as
        return [kind("\ufffd", message, name)] if held else []
