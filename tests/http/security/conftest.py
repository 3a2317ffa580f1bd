"""One Ollama, and one server as `llmstream serve` has it, for what changes nothing on them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmstream.cli.serve import served_app
from llmstream.demo_ollama import DemoOllama
from llmstream.settings import Settings
from tests.support.serving import serving


@pytest.fixture(scope="module")
def upstream() -> Iterator[DemoOllama]:
    """One Ollama for all these tests."""
    with DemoOllama(tokens_per_s=None, scenarios=True) as server:
        yield server


@pytest.fixture
def settings(upstream: DemoOllama) -> Settings:
    """Settings that point to it."""
    return Settings(ollama_url=upstream.url, demo="never", model="demo:tokens-2", drain_s=0, max_body_bytes=200_000)


@pytest.fixture(scope="module")
def url(upstream: DemoOllama) -> Iterator[str]:
    """One server, as `llmstream serve` has it, for what changes nothing on it."""
    settings = Settings(ollama_url=upstream.url, demo="never", model="demo:tokens-2", max_body_bytes=200_000)
    with serving(served_app(settings)[0]) as served:
        yield served.url
