"""What a client may ask for: the declared request models, and the limits that the settings put on them."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from llmstream.core import Arguments
from llmstream.errors import BodyTooLarge, InvalidRequest, LlmstreamError, ModelNotAllowed
from llmstream.inputs import Input
from llmstream.ollama import is_cloud, same_model
from llmstream.settings import Settings, Thinking


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

    def fingerprint(self) -> str:
        """The same for the same request."""
        return hashlib.sha256(self.model_dump_json(exclude={"request_id"}).encode()).hexdigest()


def check(request: RunRequest, settings: Settings) -> None:
    """Raises what the settings do not allow: a long question, a model, an option."""
    texts = [request.question or "", request.context or "", *_last_texts(request)]
    if sum(len(text.encode("utf-8", "replace")) for text in texts) > settings.max_question_bytes:
        raise BodyTooLarge(
            f"The question is longer than {settings.max_question_bytes} bytes. Shorten it, "
            "or raise LLMSTREAM_MAX_QUESTION_BYTES."
        )
    if request.model is not None:
        check_model(request.model, settings)
    for name in request.options or ():
        if name not in settings.allowed_options:
            raise InvalidRequest(
                f"The option {name[:40]!r} is not allowed here; allowed are {', '.join(settings.allowed_options)}."
            )


def check_model(name: str, settings: Settings) -> None:
    """Raises `ModelNotAllowed` for a model that a client may not ask for, `InvalidRequest` for what is an address."""
    if "://" in name:
        raise InvalidRequest("A model has a name, not an address: GET /models lists those that can be asked for.")
    allowed = settings.allowed_models
    if any(same_model(name, each) for each in allowed) or not (allowed or is_cloud(name)):
        return
    raise ModelNotAllowed(f"The model {name[:80]!r} is not allowed here. GET /models lists those that are.")


def is_allowed(name: str, settings: Settings) -> bool:
    """Whether a client may ask for a model; see `check_model`."""
    try:
        check_model(name, settings)
    except LlmstreamError:
        return False
    return True


def _last_texts(request: RunRequest) -> list[str]:
    if not request.messages:
        return []
    content = request.messages[-1].content
    parts = [{"text": content}] if isinstance(content, str) else content
    return [text for part in parts if isinstance(text := part.get("text"), str)]
