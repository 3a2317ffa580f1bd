"""A pytest plugin: the fixture `demo_ollama`, a server speaking Ollama's protocol, for tests that need no Ollama.

It is loaded by every run of pytest where llmstream is installed, so it imports nothing heavy until the fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from llmstream.demo_ollama import DemoOllama

# The answer to every question that a test does not script.
SET_ANSWER = "This is the demo's set answer."


@pytest.fixture
def demo_ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[DemoOllama]:
    """A demo Ollama at full speed that `OLLAMA_HOST` points to during the test; every name is a model there.

    Script it with `demo_ollama.answers["the question"] = "the answer"`, look at `demo_ollama.requests` afterwards,
    ask the models `demo:<scenario>` for faults. `demo_ollama.answers.default` answers what is not scripted.
    """
    from llmstream import addresses
    from llmstream.demo_ollama import DemoOllama

    with DemoOllama(tokens_per_s=None, scenarios=True, any_model=True) as server:
        server.answers.default = SET_ANSWER
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        for variable in ("LLMSTREAM_MODEL", "LLMSTREAM_OLLAMA_URL", "LLMSTREAM_UPSTREAM"):
            monkeypatch.delenv(variable, raising=False)
        addresses.asked_in_test.append(server.url)
        yield server
        addresses.asked_in_test.remove(server.url)
