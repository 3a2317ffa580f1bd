"""Thinking that a model writes into its text, between `<think>` and `</think>`, told apart from the answer.

Some models, and servers that know nothing of thinking, send it so. It counts as thinking only where the text begins
with it; anywhere else the tag is a word like others.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmstream.events import Event, Finished, Reasoning, Terminal, Token

_OPENING, _CLOSING = "<think>", "</think>"
# Of an endless run of white space nothing is held back.
_MAX_SPACE = 100


class ThinkTags:
    """Makes thinking in a message's text into `Reasoning`; a tag may come in pieces.

    done: whether the rest may be handed on as it comes.
    """

    def __init__(self) -> None:
        self.done = False
        self._held: list[Token] = []  # the beginning of the text, while it may become a tag
        self._inside = False
        self._thinking: list[str] = []  # what came since the opening tag, and that tag
        self._tail = ""  # the end of the thinking so far, while it may become the closing tag
        self._closed = False
        self._of: tuple[str | None, str | None] = (None, None)  # the message that the text belongs to, and its name

    def put(self, events: Sequence[Event]) -> list[Event]:
        """The events that are certain after these came."""
        found: list[Event] = []
        for event in events:
            if type(event) is Token and not self.done:
                found += self._text(event)
            elif type(event) is Reasoning:  # a model that tells its thinking apart does not write tags
                found += [*self._held, event]
                self._held = []
            else:
                found.append(event)
        return found

    def end(self, end: Terminal | None) -> list[Event]:
        """The events that were held back, once no more text comes; end: None where another message begins.

        Tags that a complete answer never closes were no thinking: the whole text is then the answer as well.
        """
        found: list[Event] = [*self._held]
        if self._inside:
            found = [Reasoning(self._tail, *self._of)] if self._tail else []
            if end is None or (isinstance(end, Finished) and end.reason == "stop"):
                found.append(Token("".join(self._thinking), *self._of))
        self.done = True
        return found

    def _text(self, token: Token) -> list[Event]:
        self._of = token.message, token.name
        if self._inside:
            return self._think(token.text)
        if self._closed:
            return self._answer(token.text)
        self._held.append(token)
        text = "".join(each.text for each in self._held)
        begun = text.lstrip()
        if begun.startswith(_OPENING):
            self._inside, self._held, self._thinking = True, [], [_OPENING]
            return self._think(begun[len(_OPENING) :])
        if _OPENING.startswith(begun) and len(text) <= _MAX_SPACE:
            return []
        held, self._held, self.done = self._held, [], True
        return list(held)

    def _think(self, text: str) -> list[Event]:
        """The events of text inside the tags."""
        if len(self._thinking) == 1:
            text = text.lstrip()
        if not text:
            return []
        self._thinking.append(text)
        thought, closing, answer = (self._tail + text).partition(_CLOSING)
        self._tail = "" if closing else _beginning_of(_CLOSING, thought)
        thought = thought[: len(thought) - len(self._tail)]
        found: list[Event] = [Reasoning(thought, *self._of)] if thought else []
        if closing:
            self._inside, self._closed = False, True
            found += self._answer(answer)
        return found

    def _answer(self, text: str) -> list[Event]:
        """The events of text behind the tags, where the answer begins with the first word."""
        text = text.lstrip()
        self.done = bool(text)
        return [Token(text, *self._of)] if text else []


def without_thinking(text: str) -> str:
    """A whole text without the thinking that it begins with, and without the space around it."""
    text = text.strip()
    _, closing, answer = text.partition(_CLOSING)
    return answer.strip() if closing and text.startswith(_OPENING) else text


def _beginning_of(tag: str, text: str) -> str:
    """The end of a text that a tag may begin with."""
    return next((tag[:size] for size in range(len(tag) - 1, 0, -1) if text.endswith(tag[:size])), "")
