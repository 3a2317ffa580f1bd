"""What a client may ask for: the declared request models, and the limits that the settings put on them."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from llmstream.core.inputs import Arguments, Input
from llmstream.errors import InvalidRequest
from llmstream.settings import Thinking


class Failure(BaseModel):
    """What every failure with a status answers."""

    code: str = Field(examples=["model_not_found"])
    message: str = Field(examples=["The model 'x' is not there. Get it with `ollama pull x`."])
    retryable: bool = Field(description="Whether asking again can help.")


class QuestionRequest(BaseModel):
    """A question alone."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1, examples=["What color is the sky?"])


class MessageRequest(BaseModel):
    """One message; content is text, or parts of text and images."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]


class RunRequest(BaseModel):
    """A question or messages, and what the answer should be made with."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"question": "What color is the sky?"}]})

    question: str | None = Field(None, min_length=1)
    messages: list[MessageRequest] | None = Field(None, min_length=1)
    context: str | None = Field(None, description="Text to answer from.")
    model: str | None = Field(None, description="One of GET /models.")
    thinking: Thinking | None = None
    options: dict[str, Any] | None = Field(None, description="Ollama's sampling options: temperature, num_predict …")
    request_id: str | None = Field(None, max_length=200, description="Starts at most one run.")
    on_leave: Literal["cancel", "continue"] = "cancel"

    def input(self) -> Input:
        """The question or the messages; raises `InvalidRequest` unless there is exactly one of them."""
        if (self.question is None) == (self.messages is None):
            raise InvalidRequest("Give a question or messages, one of the two.")
        if self.question is not None:
            return self.question
        return [message.model_dump() for message in self.messages or ()]

    def arguments(self) -> Arguments:
        """What the core takes beside the question."""
        return {
            "context": self.context,
            "model": self.model,
            "thinking": self.thinking,
            "options": self.options,
        }

    def texts(self) -> list[str]:
        """The question's texts: what is limited in length."""
        content = self.messages[-1].content if self.messages else ""
        parts = [{"text": content}] if isinstance(content, str) else content
        last = [text for part in parts if isinstance(text := part.get("text"), str)]
        return [self.question or "", self.context or "", *last]

    def fingerprint(self) -> str:
        """The same for the same request."""
        return hashlib.sha256(self.model_dump_json(exclude={"request_id"}).encode()).hexdigest()
