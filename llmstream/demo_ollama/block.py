"""`with llmstream.demo():` every example runs without an Ollama."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llmstream.demo_ollama.server import DemoOllama
from llmstream.settings import override


@contextmanager
def demo(*, tokens_per_s: float | None = 40.0) -> Iterator[DemoOllama]:
    """The demo Ollama for this block: what llmstream asks of Ollama in this process goes to it.

    tokens_per_s: its pace; None is full speed.
    """
    with DemoOllama(tokens_per_s=tokens_per_s) as server, override(ollama_url=server.url, model=None):
        yield server
