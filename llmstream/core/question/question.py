"""The question of a person: text or messages in any common form, as LangChain's messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage, ChatMessage, HumanMessage, convert_to_messages

from llmstream.errors import InvalidRequest

_NO_TEXT = "This chain takes text only: ask without images, or use a chain that takes `messages`."


@dataclass(frozen=True)
class Question:
    """The question of a person, which is the last of the messages so far, and text to answer from."""

    messages: Sequence[BaseMessage]
    context: str | None = None

    @property
    def text(self) -> str:
        """The question alone, as text; raises `InvalidRequest` where it holds more than text."""
        content = self.messages[self._place].content
        if isinstance(content, str):
            return content
        if any(isinstance(part, dict) and part.get("type") not in (None, "text") for part in content):
            raise InvalidRequest(_NO_TEXT)
        return "\n".join(part if isinstance(part, str) else str(part.get("text", "")) for part in content)

    @property
    def history(self) -> list[BaseMessage]:
        """All messages but the question."""
        return [message for place, message in enumerate(self.messages) if place != self._place]

    @property
    def _place(self) -> int:
        asked = [place for place, message in enumerate(self.messages) if isinstance(message, HumanMessage)]
        return asked[-1] if asked else len(self.messages) - 1


def question_text(question: object) -> str:
    """The text of a question in any form that a chain is asked in; empty where there is none."""
    if isinstance(question, str):
        return question
    if isinstance(question, Mapping):
        texts = (question.get(name) for name in ("question", "input", "query"))
        return next((text for text in texts if isinstance(text, str)), "") or question_text(question.get("messages"))
    if not isinstance(question, Sequence) or not question:
        return ""
    try:
        messages = to_messages(question)
    except InvalidRequest:
        return ""
    return str(next((each for each in reversed(messages) if isinstance(each, HumanMessage)), messages[-1]).text)


def to_messages(question: str | Sequence[Any] | None, history: Sequence[Any] = ()) -> list[BaseMessage]:
    """The conversation as LangChain messages; raises `InvalidRequest` where one can't be read."""
    if question is None:
        raise InvalidRequest("There is nothing to answer: give a question, messages, or `resume`.")
    if isinstance(question, str) and not history:
        return [HumanMessage(question)]
    asked: Sequence[Any] = [HumanMessage(question)] if isinstance(question, str) else question
    try:
        messages = convert_to_messages([*map(_plain_parts, history), *map(_plain_parts, asked)])
    except (ValueError, TypeError, KeyError, NotImplementedError, AttributeError):
        raise InvalidRequest(
            'A message must be a LangChain message or {"role": "user" | "assistant" | "system" | "tool", '
            '"content": text or parts}.'
        ) from None
    if not messages:
        raise InvalidRequest("There is nothing to answer: give a question or at least one message.")
    return messages


def _plain_parts(message: Any) -> Any:
    """A dict message whose parts have LangChain's form, whatever common form they came in; parts of text are a text."""
    if isinstance(message, Mapping) and message.get("role") == "control":  # a role of Ollama's alone
        return ChatMessage(role="control", content=message.get("content") or "")
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), list | tuple):
        return message
    parts = [_plain_part(part) for part in message["content"]]
    texts = [part.get("text") for part in parts if isinstance(part, Mapping) and part.get("type") == "text"]
    if len(texts) == len(parts) and all(isinstance(text, str) for text in texts):
        return {**message, "content": "\n".join(map(str, texts))}
    return {**message, "content": parts}


def _plain_part(part: Any) -> Any:
    if not isinstance(part, Mapping) or part.get("type") != "image":
        return part
    data = part.get("data") or part.get("base64") or part.get("image") or part.get("url")
    return {"type": "image_url", "image_url": data} if isinstance(data, str) else part
