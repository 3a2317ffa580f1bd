"""Behind a proxy that compresses, as Express with npm's `compression` and Next.js do, tokens come one by one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support import ROOT
from tests.support.npm import NOBODY, built
from tests.support.serving import serving

pytestmark = pytest.mark.timeout(360)  # the first test installs the packages

# Says " 1 2 3" and then nothing more: what a proxy holds back would never come.
MODEL = "demo:stall-3"
# In plain text the last character waits for the next token.
PLAIN = "data: 2 \n"
ASKED = [{"role": "user", "content": "q"}]
PARTS = [{"id": "1", "role": "user", "parts": [{"type": "text", "text": "q"}]}]
NEXT = ROOT / "tests" / "clients" / "next"
HOW_TO = ROOT / "docs" / "how-to" / "behind-a-proxy.md"
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


@contextmanager
def express(server: str) -> Iterator[str]:
    """The address of an Express app in front of a server."""
    folder = built(ROOT / "tests" / "clients" / "proxy")
    process = subprocess.Popen(["node", folder / "proxy.mjs", server], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@contextmanager
def next_app(server: str, folder: Path) -> Iterator[str]:
    """The address of a Next app in front of a server, by `next start`."""
    app = built(NEXT, "build")
    shutil.copytree(app, folder, symlinks=True, ignore=shutil.ignore_patterns("cache"))
    for built_file in (folder / ".next").rglob("*.js*"):  # a build writes down what the config said
        if NOBODY in (text := built_file.read_text()):
            built_file.write_text(text.replace(NOBODY, server))
    start: list[str | Path] = [
        folder / "node_modules" / ".bin" / "next",
        "start",
        "--port",
        "0",
        "--hostname",
        "127.0.0.1",
    ]
    quiet = {**os.environ, "NEXT_TELEMETRY_DISABLED": "1"}
    process = subprocess.Popen(start, cwd=folder, stdout=subprocess.PIPE, text=True, env=quiet)
    try:
        assert process.stdout is not None
        yield next(line.split()[-1] for line in process.stdout if "Local:" in line) + "/api"
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module", params=["express", "next"])
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server behind the proxy."""
    with DemoOllama(tokens_per_s=None, scenarios=True) as upstream, ExitStack() as stack:
        settings = Settings(ollama_url=upstream.url, model=MODEL, demo="never", grace_s=0.1, drain_s=0)
        server = stack.enter_context(serving(create_app(settings))).url
        folder = tmp_path_factory.mktemp("next") / "app"
        yield stack.enter_context(express(server) if request.param == "express" else next_app(server, folder))


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


@pytest.mark.parametrize("proxy", ["next"], indirect=True)
def test_tokens_come_by_a_route_handler(proxy: str) -> None:
    """What a handler of the app's own hands on."""
    assert "" == read_until(" 3", proxy.removesuffix("/api"), "POST", "/ask", json=STREAMS["/stream"])


def test_documented_app() -> None:
    """The app is the one of the docs."""
    documented = re.findall(r"^```js\n// (\S+)\n(.*?)^```$", HOW_TO.read_text(), re.DOTALL | re.MULTILINE)
    assert ["next.config.mjs", "app/ask/route.js"] == [name for name, _ in documented]
    for name, code in documented:
        assert code.replace("http://127.0.0.1:8000", NOBODY) == (NEXT / name).read_text()
