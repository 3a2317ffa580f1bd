"""The messages of a conversation as a client of AG-UI has them: what it sent, and what an answer has said so far."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from llmstream.events import Reasoning, Token, ToolCall
from llmstream.http.encoder import dumps

Message = dict[str, Any]


class SaidMessages:
    """The messages that an answer has said so far; asked: the messages that the client sent."""

    def __init__(self, asked: Sequence[Mapping[str, Any]] = ()) -> None:
        self._asked = [dict(message) for message in asked]
        # Each with the message of the chain that it belongs to; a text is a list of its pieces.
        self._said: list[tuple[str | None, Message]] = []
        self._open: dict[str, ToolCall] = {}
        self._known = {call["id"] for message in asked for call in message.get("toolCalls") or ()}

    def text(self, message_id: str, event: Token | Reasoning) -> list[str]:
        """Adds a message that begins with this piece; returns the list to add the next pieces to."""
        pieces = [event.text]
        role = "assistant" if isinstance(event, Token) else "reasoning"
        message: Message = {"id": message_id, "role": role, "content": pieces}
        if event.name is not None and role == "assistant":
            message["name"] = event.name
        self._said.append((event.message, message))
        return pieces

    def call(self, call: ToolCall) -> None:
        """Adds a call, which is a message of its own under its id."""
        self._known.add(call.id)
        self._open[call.id] = call
        made = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": dumps(call.arguments)}}
        self._said.append((call.message, {"id": call.id, "role": "assistant", "toolCalls": [made]}))

    def result(self, message_id: str, call_id: str, content: str) -> None:
        """Adds the result of a call, which goes with its call."""
        call = self._open.pop(call_id, None)
        message = {"id": message_id, "role": "tool", "toolCallId": call_id, "content": content}
        self._said.append((call.message if call else None, message))

    def has_call(self, call_id: str) -> bool:
        """True if the client was told of a call."""
        return call_id in self._known

    def change(self, call: ToolCall) -> bool:
        """Gives a call that the client sent the arguments that a person has chosen; False where they are no others."""
        arguments = dumps(call.arguments)
        for message in self._asked:
            for place, made in enumerate(message.get("toolCalls") or ()):
                if made["id"] == call.id and _compact(made["function"].get("arguments")) != arguments:
                    calls = [*message["toolCalls"]]
                    calls[place] = {**made, "function": {**made["function"], "arguments": arguments}}
                    message["toolCalls"] = calls
                    return True
        return False

    @property
    def open_calls(self) -> Collection[ToolCall]:
        """The calls without a result."""
        return self._open.values()

    def withdraw(self, of: str) -> bool:
        """Drops what belongs to a message of the chain; False where nothing was said of it."""
        kept = [(each, message) for each, message in self._said if each != of]
        dropped, self._said = len(kept) < len(self._said), kept
        self._open = {call_id: call for call_id, call in self._open.items() if call.message != of}
        return dropped

    @property
    def messages(self) -> list[Message]:
        """All messages, in order."""
        return [*self._asked, *(_whole(message) for _, message in self._said)]


def _compact(arguments: str | None) -> str | None:
    """Arguments as they are told here, whatever spaces a client has put between them."""
    try:
        return dumps(json.loads(arguments or "{}"))
    except ValueError:
        return arguments


def _whole(message: Message) -> Message:
    content = message.get("content")
    return {**message, "content": "".join(content)} if isinstance(content, list) else message
