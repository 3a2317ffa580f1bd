"""The apps run as they stand, with the demo where no Ollama answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.support import ROOT
from tests.support.ports import free_port
from tests.support.serving import get, post

APPS = ROOT / "apps"
READY_S = 60

pytestmark = pytest.mark.timeout(150)


@contextmanager
def running(name: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """An app in a process of its own, once it says that the demo answers."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, APPS / name, str(port)],
        env={**os.environ, "GRADIO_SERVER_PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        said = next((line for line in process.stderr if "Demo model" in line), "")
        assert "no Ollama at http://127.0.0.1:9" in said
        wait_for(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.communicate()


def wait_for(url: str) -> None:
    """Returns when the address answers."""
    transport = httpx.HTTPTransport(retries=READY_S)  # with growing pauses, while nobody listens
    with httpx.Client(transport=transport, timeout=READY_S) as client:
        client.get(url)


def test_sse_api() -> None:
    """The API alone answers."""
    with running("sse_api.py") as (url, _):
        assert "demo" in post(f"{url}/nostream", {"question": "What color is the sky?"}).json()["answer"]


def test_gradio_chat() -> None:
    """The chat alone gives out its page."""
    with running("gradio_chat.py") as (url, _):
        assert 200 == get(f"{url}/").status_code
        assert "llmstream" == get(f"{url}/config").json()["title"]


def test_all_in_one() -> None:
    """The API and the chat are there together, and the app ends in time while a chat page is open."""
    with running("all_in_one.py") as (url, process):
        assert 200 == get(f"{url}/docs").status_code
        assert 200 == get(f"{url}/gradio/").status_code
        assert 421 == get(f"{url}/gradio/", headers={"host": "evil.example"}).status_code
        with httpx.stream("GET", f"{url}/gradio/gradio_api/heartbeat/page", timeout=READY_S) as heartbeat:
            lines = heartbeat.iter_lines()  # kept: who drops it closes the connection
            next(lines)
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=15)
