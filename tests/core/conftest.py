"""The Ollama of tests that name none."""

from __future__ import annotations

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from tests.support.sky import SKY


@pytest.fixture
def ollama(upstream: DemoOllama, monkeypatch: pytest.MonkeyPatch) -> DemoOllama:
    """The demo Ollama, which is found in the environment."""
    monkeypatch.setenv("OLLAMA_HOST", upstream.url)
    return upstream


@pytest.fixture
def sky(ollama: DemoOllama) -> None:
    """The demo Ollama, in the environment, says why the sky is blue."""
    ollama.answers[SKY] = SENTENCE
