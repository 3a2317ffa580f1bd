"""The demo Ollama and its clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ollama
import pytest

from llmstream.demo_ollama import DemoOllama
from tests.support.demo_calls import README
from tests.support.ollama_targets import COUNT, SKY, SKY_ANSWER, SUM, SUM_ANSWER, Target, live, read_recording


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    """A page of documentation."""
    page = tmp_path / "README.md"
    page.write_text(README, encoding="utf-8")
    return page


@pytest.fixture
def server(readme: Path) -> Iterator[DemoOllama]:
    """A demo at full speed with scenarios and one page of documentation."""
    with DemoOllama(tokens_per_s=None, scenarios=True, docs=[readme]) as running:
        yield running


@pytest.fixture
def client(server: DemoOllama) -> Iterator[ollama.Client]:
    """The ``ollama`` package's client of that demo."""
    with ollama.Client(server.url) as connected:
        yield connected


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Target:
    """A recorded, a real or a demo Ollama."""
    if request.param == "recorded":
        return Target(
            {"chat": "tiny-chat", "plain": "tiny-plain", "tool": "tiny-chat"},
            lambda case: read_recording(case.recording),
        )
    if request.param == "real":
        url = request.getfixturevalue("real_ollama").url
        return live({"chat": "tiny-chat", "plain": "tiny-plain", "tool": "tiny-chat"}, url)
    url = request.getfixturevalue("scripted_demo").url
    return live({"chat": "demo-thinking", "plain": "demo", "tool": "demo:tool-call"}, url)


@pytest.fixture(scope="module")
def scripted_demo() -> Iterator[DemoOllama]:
    """A demo Ollama that knows what tiny-chat knows."""
    with DemoOllama(tokens_per_s=None, scenarios=True) as server:
        server.answers.update({SKY: SKY_ANSWER, "Count to 20.": COUNT, SUM: SUM_ANSWER, "hi": "Hello there, hello."})
        yield server
