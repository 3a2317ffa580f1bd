"""The contract between Ollama's API and the models behind it. The demo is one backend, a chain can be another."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec


class OllamaError(Exception):
    """A failure in Ollama's words: an HTTP status before the first chunk, an `{"error"}` line after it.

    text: what the client reads, for instance `model 'x' not found`. status: the HTTP status if nothing has been sent
    yet.
    """

    def __init__(self, text: str, *, status: int = 500) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


@dataclass(frozen=True, slots=True)
class Model:
    """A model as `/api/tags` and `/api/show` describe it.

    name: full name with tag, `demo:latest`. capabilities: of Ollama's words: `completion`, `tools`, `thinking`,
    `vision`, `insert`. context_length: tokens a prompt may have, unless a request sets `num_ctx`. size_bytes:
    size on disk. is_strict: whether a request for what it can't do is refused, as Ollama does; else that is left to the
    backend.
    """

    name: str
    capabilities: tuple[str, ...] = ("completion",)
    context_length: int = 8192
    size_bytes: int = 0
    modified_at: str = "2026-01-01T00:00:00Z"
    is_strict: bool = True

    @property
    def digest(self) -> str:
        """64 hex digits, the same for the same name."""
        return hashlib.sha256(self.name.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool, whole."""

    name: str
    arguments: dict[str, Any]


class AnswerChunk(msgspec.Struct, frozen=True):
    """A chunk of an answer: text, thought or tool calls; the last one says how and after how many tokens it ended.

    done_reason: `stop` or `length` on the last chunk, which holds nothing else; empty before. prompt_tokens: tokens of
    the prompt, if the backend counted them (last chunk only). answer_tokens: tokens of the answer, hidden ones
    included, if the backend counted them (last chunk only).
    """

    content: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    done_reason: str = ""
    prompt_tokens: int | None = None
    answer_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class PullProgress:
    """One line of `/api/pull`. `total` and `completed` are bytes; zero is left out of the line."""

    status: str
    digest: str = ""
    total: int = 0
    completed: int = 0


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked request of `/api/chat`, or of `/api/generate` (its prompt is then the one user message).

    model: the name as the client wrote it; every line of the answer repeats it. messages: `{"role", "content", ...}`
    dicts as sent. think: `None` if the client did not say. options: Ollama's options as sent, types checked.
    keep_alive_s: seconds the model stays loaded; negative for ever; `None` if the client did not say. body: the whole
    JSON object, for fields that only some backends know.
    """

    model: str
    messages: tuple[dict[str, Any], ...] = ()
    think: bool | str | None = None
    tools: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    stream: bool = True
    truncate: bool = True
    keep_alive_s: float | None = None
    is_generate: bool = False
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def question(self) -> str:
        """The text of the last user message, empty if there is none."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return str(message.get("content") or "")
        return ""

    @property
    def begun(self) -> str:
        """The answer that the client has begun, for the model to go on with; empty if there is none."""
        last = self.messages[-1] if self.messages else {}
        return str(last.get("content") or "") if last.get("role") == "assistant" else ""


class Backend(Protocol):
    """The models that answer in Ollama's dialect. Every method is called in the event loop of the app."""

    async def models(self) -> Iterable[Model]:
        """The models `/api/tags` lists."""

    async def find(self, name: str) -> Model | None:
        """The model of a full name (`demo:latest`, letters in lower case), listed or not."""

    def chat(self, request: ChatRequest) -> AsyncGenerator[AnswerChunk, None]:
        """The answer, chunk by chunk, within the limits of the request's options. Closed as soon as the client leaves.

        Raises `OllamaError`, which the client is told instead of the (rest of the) answer.
        """

    def pull(self, name: str) -> AsyncGenerator[PullProgress, None]:
        """Gets a model by its full name.

        Raises `OllamaError` where the model can't be had.
        """
