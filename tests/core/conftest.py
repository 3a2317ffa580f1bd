"""The Ollama of tests that name none."""

from __future__ import annotations

import pytest

from llmstream.demo_ollama import DemoOllama


@pytest.fixture
def ollama(upstream: DemoOllama, monkeypatch: pytest.MonkeyPatch) -> DemoOllama:
    """The demo Ollama, which is found in the environment."""
    monkeypatch.setenv("OLLAMA_HOST", upstream.url)
    return upstream
