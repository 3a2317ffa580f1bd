"""The text, the thinking and the messages in what LangChain's chains yield."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages

# The blocks of a message by which a model answers in something else than text.
_NO_TEXT = {
    "image": "image", "image_url": "image", "image_generation_call": "image", "audio": "audio", "video": "video",
    "file": "file",
}  # fmt: skip

# Of a message that is a pair of role and text.
_ROLES = ("human", "user", "ai", "assistant", "system", "developer")


def reasoning_of(message: BaseMessage) -> str:
    """The thinking in a message, wherever its provider puts that."""
    text = message.additional_kwargs.get("reasoning_content")
    if isinstance(text, str):
        return text
    if isinstance(message.content, str):
        return ""
    blocks = [block for block in message.content if isinstance(block, dict)]
    return "".join(str(block.get("reasoning") or block.get("thinking") or "") for block in blocks)


def messages_in_list(value: Any) -> TypeGuard[list[BaseMessage]]:
    """True if a value is a list of messages, at least one."""
    return isinstance(value, list) and bool(value) and all(isinstance(each, BaseMessage) for each in value)


def as_messages(value: Any) -> list[BaseMessage]:
    """The messages in a value, in any form that LangGraph takes for one; none where it is something else."""
    if isinstance(value, BaseMessage):
        return [value]
    if not isinstance(value, list | tuple) or not value:
        return []
    if all(isinstance(each, BaseMessage) for each in value):
        return list(value)
    if not all(map(_is_form, value)):
        return [each for each in value if isinstance(each, BaseMessage)]
    try:
        return convert_to_messages(list(value))
    except (ValueError, TypeError, KeyError, NotImplementedError):
        return []


def messages_in(state: Any) -> Iterable[BaseMessage]:
    """The messages in a state or an update, under whatever key."""
    if isinstance(state, BaseMessage):
        return [state]
    if isinstance(state, list | tuple):
        return [each for each in state if isinstance(each, BaseMessage)]
    values = state.values() if isinstance(state, Mapping) else vars(state).values() if is_model_dump(state) else ()
    return [message for value in values for message in as_messages(value)]


def is_model_dump(value: Any) -> bool:
    """True if a value is a pydantic object."""
    return callable(getattr(value, "model_dump", None)) and not isinstance(value, type)


def _is_form(value: Any) -> bool:
    """True if a value is a message, or one that is an object with its role, or a pair of role and text."""
    if isinstance(value, tuple) and len(value) == 2:
        return value[0] in _ROLES and isinstance(value[1], str | list)
    return isinstance(value, BaseMessage) or (isinstance(value, Mapping) and "role" in value)


def text_of(message: BaseMessage) -> str:
    """The text in a message; what an answer holds that is no text, such as an image, is named in its place.

    A model that refuses says so in its text, or beside an empty one, by its provider.
    """
    if isinstance(message.content, str):
        return message.content or str(message.additional_kwargs.get("refusal") or "")
    if isinstance(message, HumanMessage):
        return str(message.text)
    return "".join(map(_block_text, message.content))


def _block_text(block: str | dict[Any, Any]) -> str:
    if isinstance(block, str):
        return block
    kind = block.get("type")
    text = block.get(kind) if kind in ("text", "refusal") else None
    return f"[{_NO_TEXT[kind]}]" if kind in _NO_TEXT else text if isinstance(text, str) else ""
