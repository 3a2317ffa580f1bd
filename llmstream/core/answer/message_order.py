"""The messages of an answer, told one after the other and never woven together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from llmstream.core.answer.emitter import Emitter
from llmstream.events import Withdrawn


class Message:
    """The message of one model call, or of one node of a graph.

    id: given when the message is first told; name: of its node or branch. held: whether it is kept back for now.
    """

    def __init__(self, name: str | None, *, held: bool) -> None:
        self.id: str | None = None
        self.name = name
        self.held = held
        self.ended = False
        self.told = False
        self.pending: list[tuple[Literal["text", "reasoning"], str]] = []
        self._pieces: list[str] = []

    def add(self, text: str) -> None:
        """Adds a piece of the text, told or not."""
        self._pieces.append(text)

    @property
    def text(self) -> str:
        """The text so far."""
        if len(self._pieces) > 1:
            self._pieces[:] = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    @property
    def is_blank(self) -> bool:
        """True if no text has come yet."""
        return not any(map(str.strip, self._pieces))


class Messages:
    """Tells messages in the order in which they began; one that begins while another goes on waits for its end.

    named: whether the first message gets an id too: where there may be several, or one may be withdrawn.
    """

    def __init__(self, emitter: Emitter, *, named: bool) -> None:
        self._emitter = emitter
        self._named = named
        self._count = 0
        self._speaker: Message | None = None
        self._waiting: list[Message] = []
        self.last_told: Message | None = None
        # Called with a message's id before it is told for the first time, and after it was taken back.
        self.before_first: Callable[[str | None], None] = lambda message: None
        self.after_withdrawn: Callable[[str], None] = lambda message: None

    def begin(self, name: str | None = None, *, held: bool = False) -> Message:
        """Adds a message that is about to be said."""
        message = Message(name, held=held)
        self._waiting.append(message)
        return message

    def say(self, message: Message, text: str) -> None:
        """Adds a piece of a message's text."""
        if text:
            message.add(text)
            self._put(message, "text", text)

    def think(self, message: Message, text: str) -> None:
        """Adds a piece of the thinking before a message's text."""
        if text:
            self._put(message, "reasoning", text)

    def end(self, message: Message) -> None:
        """Ends a message: nothing more comes of it."""
        message.ended = True
        if message is self._speaker or not message.held:
            self._advance()

    def release(self, message: Message) -> None:
        """Tells a message that was held back."""
        message.held = False
        self._advance()

    def withdraw(self, message: Message) -> None:
        """Takes a message back; nothing more is told of it."""
        message.ended, message.held = True, True
        message.pending.clear()
        if message in self._waiting:
            self._waiting.remove(message)
        if message.told and message.id is not None:
            self._emitter.emit([Withdrawn(message.id)])
            self.after_withdrawn(message.id)
        if message is self._speaker:
            self._advance()

    def tell(self, text: str, name: str | None = None) -> Message:
        """Tells a message that is there whole."""
        message = self.begin(name)
        self.say(message, text)
        self.end(message)
        return message

    def continue_with(self, message: Message, text: str) -> None:
        """Tells more of a message that had ended, after which no other has begun."""
        if message.told:
            message.add(text)
            self._tell(message, "text", text)
        else:
            self.say(message, text)

    def finish(self) -> None:
        """Tells what still waits for the end of another message: the answer is over."""
        for message in [*([self._speaker] if self._speaker else []), *self._waiting]:
            message.ended = True
        self._advance()

    def _put(self, message: Message, kind: Literal["text", "reasoning"], text: str) -> None:
        if message is self._speaker:
            return self._tell(message, kind, text)
        message.pending.append((kind, text))
        if not message.held:
            self._advance()

    def _advance(self) -> None:
        """Tells the messages whose turn has come."""
        while self._speaker is None or self._speaker.ended:
            self._speaker = next((each for each in self._waiting if each.pending and not each.held), None)
            if self._speaker is None:
                return
            self._waiting.remove(self._speaker)
            pending, self._speaker.pending = self._speaker.pending, []
            for kind, text in pending:
                self._tell(self._speaker, kind, text)

    def _tell(self, message: Message, kind: Literal["text", "reasoning"], text: str) -> None:
        if not message.told:
            message.told = True
            self._count += 1
            if self._named or self._count > 1:
                message.id = f"m{self._count}"
            self.before_first(message.id)
        if kind == "text":
            self.last_told = message
            self._emitter.text(text, message.id, message.name)
        else:
            self._emitter.reasoning(text, message.id, message.name)
