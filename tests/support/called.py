"""The command `llmstream`, run in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from llmstream.demo_ollama import DemoOllama


@dataclass
class Done:
    """What a command wrote and its exit code."""

    stdout: str
    stderr: str
    returncode: int


Call = Callable[..., Done]


def read(stream: IO[bytes] | None, size: int) -> bytes:
    """The next `size` bytes, waiting for them."""
    assert stream is not None
    data = b""
    while len(data) < size and (piece := stream.read(size - len(data))):
        data += piece
    return data


def chats(upstream: DemoOllama) -> list[dict[str, Any]]:
    return [request.body for request in upstream.requests if request.path == "/api/chat"]
