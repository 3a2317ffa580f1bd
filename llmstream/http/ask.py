"""The common form of every dialect's request: messages, and the wishes about the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmstream.errors import InvalidRequest
from llmstream.http.parts import Message
from llmstream.settings import Thinking
from llmstream.untrusted_json import check_numbers

# Each costs some 30 µs before it is on its way.
_MESSAGES = 2000


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A request, read into the form that all dialects share.

    messages: dicts as `core.inputs.to_messages` takes them, tool calls and results in OpenAI's form; or a question.
    model, thinking, options, tools, format, context, thread, resume: those of `astream`; None and empty where the
    client did not say. With `resume` the messages are not asked again. must_call: whether the answer has to be a call.
    inputs: the values that the client gives beside the question; the server's `prepare` says what becomes of them.
    """

    messages: Sequence[Message] | str
    context: str | None = None
    model: str | None = None
    thinking: Thinking | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    tools: Sequence[Mapping[str, Any]] = ()
    format: str | Mapping[str, Any] | None = None
    thread: str | None = None
    resume: Mapping[str, Any] | None = None
    must_call: bool = False
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.messages) > _MESSAGES and not isinstance(self.messages, str):
            raise InvalidRequest(f"There are more than {_MESSAGES} messages. Leave out the oldest ones.")
        for name in ("options", "tools", "format", "inputs"):
            check_numbers(getattr(self, name), name)

    def demanded(self) -> list[str]:
        """The wishes without which the answer would be useless: its form, a call."""
        demands = {"format (response_format)": self.format is not None, "tool_choice": self.must_call}
        return [name for name, demanded in demands.items() if demanded]

    def offered(self) -> list[str]:
        """The wishes that an answer can do without: sampling options, thinking, tools that may be called."""
        offers = {"thinking": bool(self.thinking), "tools": bool(self.tools)}
        return [*self.options, *(name for name, offered in offers.items() if offered)]

    def after(self, instruction: str) -> list[Message]:
        """The messages after an instruction of the server's own."""
        asked = [{"role": "user", "content": self.messages}] if isinstance(self.messages, str) else self.messages
        return [{"role": "system", "content": instruction}, *asked]

    @property
    def question(self) -> str:
        """The text of the last message, which is the question where a person asks."""
        return "\n".join(self.last_texts)

    @property
    def last_texts(self) -> list[str]:
        """The texts of the last message."""
        if isinstance(self.messages, str):
            return [self.messages]
        return _texts(self.messages[-1]) if self.messages else []

    @property
    def texts(self) -> list[str]:
        """The texts of all messages; what passed for an image in the body may be one of them."""
        if isinstance(self.messages, str):
            return [self.messages]
        return [text for message in self.messages for text in _texts(message)]


def _texts(message: Message) -> list[str]:
    content = message.get("content", "")
    parts = [{"text": content}] if isinstance(content, str) else content
    return [text for part in parts or () if isinstance(text := part.get("text"), str)]


# By these a client finds its requests again, and how long a model is held is the server's affair (`keep_alive`); they
# say nothing about the answer.
TRACING = frozenset((
    "user", "metadata", "id", "chat_id", "session_id", "message_id", "parent_id", "conversation_id", "trace_id",
    "keep_alive",
))  # fmt: skip


def asks_nothing(value: object) -> bool:
    """True if a field says no more than its absence would: null, empty, or holding only such values and false."""
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else None
    if parts is None:
        return value is None or value == ""
    return all(part is False or asks_nothing(part) for part in parts)


def check_unknown(fields: Mapping[str, Any]) -> None:
    """Raises `InvalidRequest` for an unknown field that asks for something."""
    for name, value in fields.items():
        if name not in TRACING and not asks_nothing(value):
            raise InvalidRequest(f"The field {name[:40]!r} is not supported here.")
