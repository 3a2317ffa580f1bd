"""The calls of an answer's models: each told once a tool carries it out, or once it is left to the client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from llmstream.core.answer.emitter import Emitter
from llmstream.core.answer.message_order import Message


class Calls:
    """Calls by their ids. A call that is withdrawn, or that a parser made its value of, is never told."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter
        self._asked: dict[str, tuple[str, Any]] = {}
        self._messages: dict[str, Message] = {}
        self._told: set[str] = set()
        self._answered: set[str] = set()
        self._hidden: set[str] = set()
        self._unnamed: dict[tuple[str, str], str] = {}  # the ids of calls without one, by what they ask for

    def ask(self, calls: Iterable[Mapping[str, Any]], message: Message | None = None) -> None:
        """A model asks for these calls, in a message."""
        for call in calls:
            call_id = self.id_of(call)
            if call_id in self._hidden:
                continue
            self._asked[call_id] = call["name"], call["args"]
            if message is not None:
                self._messages[call_id] = message

    def hide(self, ids: Iterable[str | None]) -> None:
        """Leaves out these calls, which a part inside a tool makes for itself, with their results."""
        self._hidden.update(call_id for call_id in ids if call_id and call_id not in self._asked)

    def id_of(self, call: Mapping[str, Any]) -> str:
        """The id of a call; a new one where the model gave none."""
        if call.get("id"):
            return str(call["id"])
        return self._unnamed.setdefault((call["name"], repr(call["args"])), f"call-{len(self._unnamed) + 1}")

    @property
    def unnamed(self) -> list[str]:
        """The ids of the calls to which their model gave none."""
        return list(self._unnamed.values())

    def begin(self, id: str | None, name: str, arguments: object) -> str | None:
        """Notes that a tool begins to run; returns the id of the call that it carries out, None if no model asked.

        What the tool is given is what is told: a person may have changed what the model had asked for.
        """
        if id is None:
            return self._begin_unnamed(name, arguments)
        self._hidden.discard(id)
        if id not in self._asked or isinstance(arguments, Mapping):
            self._asked[id] = name, arguments
        self._tell(id)
        return id

    def _begin_unnamed(self, name: str, arguments: object) -> str | None:
        """Begins the first call of this tool with just these arguments, all that the tool was given; returns its id."""
        for call_id, asked in self._asked.items():
            if asked == (name, arguments) and call_id not in self._told:
                self._tell(call_id)
                return call_id
        return None

    def answer(self, id: str, output: object) -> None:
        """Tells the result of a call; only the first result counts."""
        if id in self._answered or id in self._hidden:
            return
        self._tell(id)
        self._answered.add(id)
        self._emitter.tool_result(id, output)

    def leave(self, ids: Iterable[str]) -> None:
        """Leaves these calls to the client, where no tool has carried them out."""
        for call_id in ids:
            if call_id not in self._answered:
                self._tell(call_id)

    @property
    def is_left(self) -> bool:
        """True if the client is asked for the result of a call."""
        return bool(self._told - self._answered)

    def _tell(self, id: str) -> None:
        if id in self._asked and id not in self._told:
            self._told.add(id)
            name, arguments = self._asked[id]
            message = self._messages.get(id)
            self._emitter.tool_call(id, name, arguments, message.id if message is not None else None)
