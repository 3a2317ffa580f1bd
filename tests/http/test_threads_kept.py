"""A graph that keeps its threads in SQLite, behind servers of which one is killed while a person is asked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from llmstream.client import Client
from llmstream.errors import InvalidRequest
from llmstream.events import Finished, Interrupted, Token, ToolResult
from llmstream.settings import Settings
from tests.support import ROOT
from tests.support.real_agent import DECISIONS, QUESTION, RESULTS

# As somebody writes it whose saver needs an event loop.
SERVER = """
import asyncio, socket, sys
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
import uvicorn
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.real_agent import weather_agent

async def main(ollama, path):
    async with AsyncSqliteSaver.from_conn_string(path) as saver:
        app = create_app(Settings(ollama_url=ollama, demo="never"), chain=weather_agent(ollama, saver))
        listener = socket.create_server(("127.0.0.1", 0))
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        await uvicorn.Server(uvicorn.Config(app, log_level="error")).serve(sockets=[listener])

asyncio.run(main(*sys.argv[1:]))
"""


@contextmanager
def serving(ollama_url: str, path: Path) -> Iterator[Client]:
    """A server of its own process, which is killed at the end."""
    command = [sys.executable, "-c", SERVER, ollama_url, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield Client(process.stdout.readline().strip())
        finally:
            process.kill()


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
