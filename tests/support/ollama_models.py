"""The models of a demo Ollama, and what it was asked."""

from __future__ import annotations

from llmstream.demo_ollama import DemoOllama, Model
from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.models import Ollama
from tests.support.serving import post


def models(upstream: DemoOllama, *there: tuple[str, str, tuple[str, ...]]) -> None:
    """Give the demo these models: name, when it was changed, capabilities."""
    upstream.models.clear()
    for name, modified_at, capabilities in there:
        upstream.models[name] = Model(name, capabilities=capabilities, modified_at=f"{modified_at}T00:00:00Z")


def ollama(upstream: DemoOllama) -> Ollama:
    """An instance that has remembered nothing yet."""
    return Ollama(Endpoint(url=upstream.url))


def load(upstream: DemoOllama, model: str, keep_alive: str) -> None:
    """Load a model for some time."""
    post(f"{upstream.url}/api/generate", {"model": model, "keep_alive": keep_alive}).raise_for_status()
