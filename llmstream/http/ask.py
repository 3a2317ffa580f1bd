"""The common form of every dialect's request: messages, and the wishes about the answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from llmstream.errors import InvalidRequest
from llmstream.http.ignored import note_ignored
from llmstream.http.parts import Message
from llmstream.settings import Thinking
from llmstream.untrusted_json import check_numbers

# Each costs some 30 µs before it is on its way.
_MESSAGES = 2000


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A request, read into the form that all dialects share.

    messages: as `core.question.question.to_messages` takes dicts, calls and results in OpenAI's form; or a question.
    model, thinking, options, tools, format, context, thread, resume: those of `astream`; None and empty where the
    client did not say. With `resume` the messages are not asked again. must_call: whether the answer has to be a call.
    inputs: the values that the client gives beside the question; the server's `prepare` says what becomes of them.
    continues: the id of the cut run that is to go on, where that is asked, and nothing else.
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
    continues: str | None = None

    def __post_init__(self) -> None:
        if len(self.messages) > _MESSAGES and not isinstance(self.messages, str):
            raise InvalidRequest(f"There are more than {_MESSAGES} messages. Leave out the oldest ones.")
        for name in ("options", "tools", "format", "inputs"):
            check_numbers(getattr(self, name), name)
        if self.must_call and not self.tools:
            raise InvalidRequest("tool_choice demands a call of a tool that the request does not have.")

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


# By these a client finds its requests again, tells its provider what to cache and whom to blame; and how long a model
# is held is the server's affair (`keep_alive`). They say nothing about the answer.
_BESIDE = frozenset((
    "user", "metadata", "id", "chat_id", "session_id", "message_id", "parent_id", "conversation_id", "trace_id",
    "keep_alive", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "betas",
))  # fmt: skip


def asks_nothing(value: object) -> bool:
    """True if a field says no more than its absence would: null, empty, or holding only such values and false."""
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else None
    if parts is None:
        return value is None or value == ""
    return all(part is False or asks_nothing(part) for part in parts)


def check_rest(
    fields: Mapping[str, Any] | None,
    *,
    harmless: Mapping[str, Sequence[Any]] | None = None,
    advice: Collection[str] = (),
) -> None:
    """Raises `InvalidRequest` for a field that asks for something, of those that a dialect does not read.

    harmless: the values that say no more than a field's absence would, by its name. advice: the fields that an answer
    can do without; the client is told that they were ignored.
    """
    for name, value in (fields or {}).items():
        if name in _BESIDE or asks_nothing(value) or value in (harmless or {}).get(name, ()):
            continue
        if name not in advice:
            raise InvalidRequest(f"The field {name[:40]!r} is not supported here.")
        note_ignored([name])


def options_of(body: BaseModel, names: Mapping[str, str]) -> dict[str, Any]:
    """The options that a body asks for; names: from its fields to Ollama's, the later of two for one option holds."""
    asked = {name: getattr(body, name) for name in names}
    options = {names[name]: value for name, value in asked.items() if not asks_nothing(value)}
    if isinstance(options.get("stop"), str):
        options["stop"] = [options["stop"]]
    return options
