"""An OpenAI-compatible server that answers, or fails to, as a test says: events written to a raw socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.answering import Script, raw_server
from tests.support.reading import response

DONE = b"data: [DONE]\n\n"
VLLM = [{"id": "m", "object": "model", "owned_by": "vllm", "max_model_len": 4096}]


def event(fields: Any, *, end: str = "\n\n", space: str = " ") -> bytes:
    """An event with these fields as its data."""
    return f"data:{space}{json.dumps(fields)}{end}".encode()


def piece(finish_reason: str | None = None, *, index: int = 0, **delta: Any) -> bytes:
    """A chunk with a piece of the message, as vLLM sends it."""
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


def text(words: str) -> bytes:
    """A text, one chunk a word."""
    return b"".join(piece(content=word) for word in words.split(" ") for word in (f"{word} ",))


def usage(prompt: int = 3, completion: int = 5) -> bytes:
    """The chunk behind the answer, which has the usage and no choice."""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return event({"id": "c", "model": "m", "choices": [], "usage": counts})


def stream(*pieces: bytes) -> bytes:
    """An HTTP answer of these events, complete as HTTP."""
    return response(b"".join(pieces), kind="text/event-stream")


@dataclass
class OpenAIUpstream:
    """A running server: its address, and the bodies that it was asked with, and their heads."""

    url: str
    bodies: list[dict[str, Any]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)


@asynccontextmanager
async def openai_server(
    answer: bytes | Script, *, models: list[dict[str, Any]] = VLLM, props: dict[str, Any] | None = None
) -> AsyncGenerator[OpenAIUpstream, None]:
    """A server that gives this answer to each question; props: what `/props` tells, as llama.cpp's does."""
    found = OpenAIUpstream("")

    async def script(body: bytes, writer: asyncio.StreamWriter) -> None:
        head = found.heads[-1]
        if head.startswith("GET /v1/models "):
            writer.write(response(json.dumps({"object": "list", "data": models}).encode()))
        elif head.startswith("GET /props ") and props is not None:
            writer.write(response(json.dumps(props).encode()))
        elif head.startswith("POST /v1/chat/completions "):
            found.bodies.append(json.loads(body))
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                await answer(body, writer)
        else:
            writer.write(response(b'{"detail":"Not Found"}', status="404 Not Found"))
        if not writer.is_closing():
            await writer.drain()

    async with raw_server(script, heads=found.heads) as (url, _):
        found.url = f"{url}/v1"
        yield found
