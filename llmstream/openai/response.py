"""The response of an OpenAI-compatible server to a chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmstream.errors import ModelNotFound, UpstreamError
from llmstream.ollama.chat import read_response
from llmstream.ollama.chunks import Chunk
from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.response import ChatResponse, Receive
from llmstream.ollama.waiting import Waiting
from llmstream.openai.errors import status_error
from llmstream.openai.events import Events


async def read_completion(
    endpoint: Endpoint, body: Mapping[str, Any], receive: Receive, waiting: Waiting | None = None
) -> None:
    """Sends one request to `chat/completions`; see `llmstream.ollama.chat.read_chat`."""
    await read_response(endpoint, "/chat/completions", body, OpenAIResponse(endpoint, body, receive, waiting))


class OpenAIResponse(ChatResponse):
    """A `Receiver` of server-sent events; a comment, with which a server shows that it lives, is no answer."""

    def __init__(
        self, endpoint: Endpoint, body: Mapping[str, Any], receive: Receive, waiting: Waiting | None = None
    ) -> None:
        super().__init__(endpoint, body, receive, waiting)
        self._events = Events()

    def _is_heard(self, data: bytes) -> bool:
        if not data.lstrip(b"\r\n").startswith(b":"):
            return True
        return any(line and not line.startswith(b":") for line in data.splitlines())

    def _decode(self, lines: bytes) -> tuple[list[Chunk], UpstreamError | None]:
        return self._events.decode(lines)

    def _decode_end(self) -> tuple[list[Chunk], UpstreamError | None]:
        return self._events.end()

    def _status_error(self, body: bytes) -> UpstreamError | ModelNotFound:
        return status_error(self._status, body, self._model)
