"""A graph that keeps its threads in SQLite, behind servers of which one is killed while a person is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from llmstream.client import Client
from llmstream.errors import InvalidRequest
from llmstream.events import Finished, Interrupted, Token, ToolResult
from llmstream.settings import Settings
from tests.support.forked import Forked
from tests.support.real_agent import DECISIONS, QUESTION, RESULTS


@contextmanager
def serving(ollama_url: str, path: Path) -> Iterator[Client]:
    """A server of its own process, which is killed at the end."""
    with Forked("tests.support.kept_agent", ollama_url, str(path)) as process:
        yield Client(process.stdout.readline().strip())


def results(events: list[Any]) -> str:
    """What the tools gave back."""
    return json.dumps([event.output for event in events if isinstance(event, ToolResult)])


@pytest.mark.parametrize("decision", ["approve", "edit", "reject"])
def test_the_second_server_goes_on(real_settings: Settings, tmp_path: Path, decision: str) -> None:
    """What the first server was asked is answered by the second one; then the thread waits for nothing."""
    path = tmp_path / "threads.db"
    with serving(real_settings.ollama_url, path) as client:
        *_, asked = client.stream_events(QUESTION, thread="t")
    assert isinstance(asked, Interrupted)
    resume = {asked.interrupts[0]["id"]: {"decisions": [DECISIONS[decision]]}}
    with serving(real_settings.ollama_url, path) as client:
        with pytest.raises(InvalidRequest, match="takes an answer for each of"):
            client.start(None, thread="t", resume={"unknown": "yes"})
        events = list(client.stream_events(None, thread="t", resume=resume))
        with pytest.raises(InvalidRequest, match="waits for no answer"):
            client.start(None, thread="t", resume=resume)
    assert RESULTS[decision] in results(events)
    assert isinstance(events[-1], Finished)
    assert "".join(event.text for event in events if isinstance(event, Token)).startswith("In Paris it is ")
