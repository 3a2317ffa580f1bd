"""The bodies of this server's own endpoints."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from llmstream.errors import InvalidRequest
from llmstream.http.ask import Ask
from llmstream.http.parts import Message, unreadable_part
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

    def to_message(self) -> Message:
        """The message as the core takes it."""
        for part in self.content if isinstance(self.content, list) else ():
            match part:
                case {"type": "text", "text": str()} | {"type": "image_url", "image_url": str() | {"url": str()}}:
                    continue
            raise unreadable_part(part)
        return {"role": self.role, "content": self.content}


class RunRequest(BaseModel):
    """A question or messages, and what the answer should be made with."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"question": "What color is the sky?"}]})

    question: str | None = Field(None, min_length=1)
    messages: list[MessageRequest] | None = Field(None, min_length=1, fail_fast=True)
    context: str | None = Field(None, description="Text to answer from.")
    model: str | None = Field(None, description="One of GET /models.")
    thinking: Thinking | None = None
    thread: str | None = Field(
        None, min_length=1, max_length=200, description="The conversation, for a chain that remembers."
    )
    resume: dict[str, Any] | None = Field(
        None,
        min_length=1,
        description="From the id of each interrupt of the thread to the answer, instead of a question.",
    )
    inputs: dict[str, Any] | None = Field(None, description="Values beside the question, for the server's `prepare`.")
    options: dict[str, Any] | None = Field(None, description="Ollama's sampling options: temperature, num_predict …")
    request_id: str | None = Field(None, max_length=200, description="Starts at most one run.")
    on_leave: Literal["cancel", "continue"] = "cancel"

    def ask(self) -> Ask:
        """The request as the server takes it; raises `InvalidRequest` unless it has just one of its three kinds."""
        if [self.question, self.messages, self.resume].count(None) != 2:
            raise InvalidRequest("Give a question, messages or resume, one of the three.")
        return Ask(
            messages=self.question or [message.to_message() for message in self.messages or ()],
            context=self.context,
            model=self.model,
            thinking=self.thinking,
            options=self.options or {},
            thread=self.thread,
            resume=self.resume,
            inputs=self.inputs or {},
        )
