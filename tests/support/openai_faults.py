"""What a fault of an OpenAI-compatible server is, in outline."""

from __future__ import annotations

from typing import Any

import pytest

from llmstream.chain.openai_model import StrictChatOpenAI
from llmstream.settings import Settings
from tests.support.answering import PROMPT, Outline, events_of, listened_to, outline
from tests.support.openai_server import (
    OpenAIUpstream,
    event,
    piece,
    text,
)

WORDS = text("The sky is")
SKY = ("token", "The sky is ")
STOP = ("finished", "stop")
END = piece("stop")
LONG = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99999\r\n\r\n"


def error(message: str, **more: Any) -> bytes:
    """The body of a refusal."""
    return event({"error": {"message": message, "type": "error", **more}})[6:]


async def both_ways(server: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch) -> list[Outline]:
    """The answers of the default chain, read straight from the server, and of one that goes through LangChain."""
    monkeypatch.setenv("LLMSTREAM_TOKEN_TIMEOUT_S", "0.3")
    monkeypatch.setenv("LLMSTREAM_FIRST_TOKEN_TIMEOUT_S", "0.5")
    settings = Settings(upstream=server.url, model="m")
    chain = listened_to(PROMPT | StrictChatOpenAI(model="m", base_url=server.url, api_key="k"))
    return [outline(await events_of(settings=settings)), outline(await events_of(settings=settings, chain=chain))]
