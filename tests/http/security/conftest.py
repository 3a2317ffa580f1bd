"""One Ollama, and one server as `llmstream serve` has it, for what changes nothing on them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmstream.cli.serve import served_app
from llmstream.demo_ollama import DemoOllama
from llmstream.settings import Settings
from tests.support.serving import serving


def settings_of(upstream: DemoOllama) -> Settings:
    """Narrow limits: of text, and of images on top."""
    return Settings(
        ollama_url=upstream.url, demo="never", model="demo:tokens-2", max_body_bytes=199_000, max_image_bytes=1000
    )


@pytest.fixture(scope="module")
def upstream() -> Iterator[DemoOllama]:
    """One Ollama for all these tests."""
    with DemoOllama(tokens_per_s=None, scenarios=True) as server:
        yield server


@pytest.fixture
def settings(upstream: DemoOllama) -> Settings:
    """Settings that point to it."""
    return settings_of(upstream).change(drain_s=0)


@pytest.fixture(scope="module")
def url(upstream: DemoOllama) -> Iterator[str]:
    """One server, as `llmstream serve` has it, for what changes nothing on it."""
    with serving(served_app(settings_of(upstream))[0]) as served:
        yield served.url
