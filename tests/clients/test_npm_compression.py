"""Behind a proxy that compresses, as Express with npm's `compression` and Next.js do, tokens come one by one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support import ROOT
from tests.support.npm import built
from tests.support.serving import serving

pytestmark = pytest.mark.timeout(360)  # the first test installs the packages

# Says " 1 2 3" and then nothing more: what a proxy holds back would never come.
MODEL = "demo:stall-3"
# In plain text the last character waits for the next token.
PLAIN = "data: 2 \n"
ASKED = [{"role": "user", "content": "q"}]
PARTS = [{"id": "1", "role": "user", "parts": [{"type": "text", "text": "q"}]}]
AGUI = {"threadId": "t", "runId": "r", "state": {}, "tools": [], "context": [], "forwardedProps": {"model": MODEL}}
STREAMS: dict[str, dict[str, Any]] = {
    "/stream": {"question": "q", "model": MODEL},
    "/stream-with-post": {"question": "q"},
    "/api/chat": {"id": "chat", "messages": PARTS, "model": MODEL},
    "/agui": {**AGUI, "messages": [{"id": "1", "role": "user", "content": "q"}]},
    "/v1/chat/completions": {"model": MODEL, "messages": ASKED, "stream": True},
    "/ollama/api/chat": {"model": MODEL, "messages": ASKED},
    "/ollama/api/generate": {"model": MODEL, "prompt": "q"},
    "/ollama/v1/chat/completions": {"model": MODEL, "messages": ASKED, "stream": True},
}


@pytest.fixture(scope="module")
def proxy() -> Iterator[str]:
    """The address of the proxy."""
    folder = built(ROOT / "tests" / "clients" / "proxy")
    with DemoOllama(tokens_per_s=None, scenarios=True) as upstream, ExitStack() as stack:
        settings = Settings(ollama_url=upstream.url, model=MODEL, demo="never", grace_s=0.1, drain_s=0)
        served = stack.enter_context(serving(create_app(settings)))
        process = subprocess.Popen(["node", folder / "proxy.mjs", served.url], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()
            process.communicate()


def read_until(wanted: str, proxy: str, method: str, path: str, **request: Any) -> str:
    """Reads an answer until a token is there; its content encoding."""
    headers = {"accept-encoding": "gzip, br"}
    with httpx.stream(method, f"{proxy}{path}", headers=headers, timeout=30, **request) as response:
        assert 200 == response.status_code
        assert "no-store, no-transform" == response.headers["cache-control"]
        text = ""
        pieces = response.iter_text()
        while wanted not in text:
            text += next(pieces)
    return str(response.headers.get("content-encoding", ""))


@pytest.mark.parametrize("path", STREAMS)
def test_tokens_come_one_by_one(proxy: str, path: str) -> None:
    """Every stream that is asked for by POST."""
    assert "" == read_until(PLAIN if "with-post" in path else " 3", proxy, "POST", path, json=STREAMS[path])


def test_tokens_come_to_an_event_source(proxy: str) -> None:
    """The stream by GET, and a run that is followed."""
    assert "" == read_until(PLAIN, proxy, "GET", "/stream-with-get", params={"question": "q"})
    run = httpx.post(f"{proxy}/runs", json={"question": "q"}).json()
    assert "" == read_until(" 3", proxy, "GET", run["events_url"])


def test_what_is_no_stream_is_compressed(proxy: str) -> None:
    """The proxy compresses indeed."""
    document = httpx.get(f"{proxy}/openapi.json", headers={"accept-encoding": "gzip"})
    assert ("gzip", True) == (document.headers["content-encoding"], "/stream" in document.json()["paths"])
