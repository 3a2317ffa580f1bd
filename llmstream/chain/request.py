"""The request with which a chat model asks Ollama."""

from __future__ import annotations

import base64
import binascii
from typing import Any, TypeGuard

from langchain_core.language_models._utils import _normalize_messages
from langchain_core.messages import BaseMessage

from llmstream.addresses import plain_ollama_host
from llmstream.errors import InvalidRequest

with plain_ollama_host():
    from langchain_ollama import ChatOllama


def request_body(
    model: ChatOllama, messages: list[BaseMessage], /, stop: list[str] | None = None, **kwargs: Any
) -> dict[str, Any]:
    """The body of `/api/chat` with which a model asks for an answer to these messages."""
    params = model._chat_params(messages, stop, **kwargs)  # noqa: SLF001 - the one place that knows what it sends
    body = {key: value for key, value in params.items() if value is not None}
    for message in body["messages"]:
        if message.get("images"):
            message["images"] = [_base64(image) for image in message["images"]]
        else:
            message.pop("images", None)
    return body


def are_messages(value: Any) -> TypeGuard[list[BaseMessage]]:
    """True if a model's input is messages already."""
    return isinstance(value, list) and all(isinstance(each, BaseMessage) for each in value)


def normalized(messages: list[BaseMessage]) -> list[BaseMessage]:
    """Messages with their content blocks as LangChain hands them to a model's own code."""
    is_text = all(isinstance(message.content, str) for message in messages)
    return messages if is_text else _normalize_messages(messages)


def _base64(image: str) -> str:
    """The image without the line ends that MIME puts into base64.

    Checked here, because the `ollama` package would read a file where the text is the name of one.
    """
    image = "".join(image.split())
    try:
        base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(
            "An image must be base64 text or a data: URL; links and file names are not read."
        ) from None
    return image
