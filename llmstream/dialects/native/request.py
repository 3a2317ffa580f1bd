"""The bodies of this server's own endpoints."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from llmstream.errors import InvalidRequest
from llmstream.http.ask import Ask
from llmstream.settings import Thinking


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

    def ask(self) -> Ask:
        """What is asked; raises `InvalidRequest` unless there is exactly one of a question and messages."""
        if (self.question is None) == (self.messages is None):
            raise InvalidRequest("Give a question or messages, one of the two.")
        return Ask(
            messages=self.question or [message.model_dump() for message in self.messages or ()],
            context=self.context,
            model=self.model,
            thinking=self.thinking,
            options=self.options or {},
        )
