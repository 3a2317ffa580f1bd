"""The snippets of docs/clients.md that are not Python's run as they stand, with the clients' real packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support import ROOT
from tests.support.lacking import lacking
from tests.support.npm import CLIENTS, built, run_node
from tests.support.real_ollama import find_ollama
from tests.support.serving import Served, serving

pytestmark = pytest.mark.timeout(360)  # the first test installs the packages

PAGE = ROOT / "docs" / "clients.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
ANSWER = "Server-sent events: 日本語 👩\u200d👩\u200d👧\u200d👦."


def blocks(language: str) -> list[object]:
    """The blocks of a language, named after the package they import last."""
    found = [code for kind, code in BLOCKS if kind == language]
    return [pytest.param(code, id=re.findall(r'from "(.+?)"', code)[-1]) for code in found]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A server on the demo Ollama, where the page says localhost:8000."""
    with DemoOllama(tokens_per_s=None) as upstream, ExitStack() as stack:
        upstream.answers["What is SSE?"] = ANSWER
        settings = Settings(ollama_url=upstream.url, model="demo", demo="never")
        yield stack.enter_context(serving(create_app(settings)))


@pytest.fixture
def snippet(served: Served, tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a snippet to where it finds the packages."""
    (tmp_path / "node_modules").symlink_to(built(CLIENTS) / "node_modules")

    def write(name: str, code: str) -> Path:
        path = tmp_path / name
        path.write_text(code.replace("http://localhost:8000", served.url))
        return path

    return write


@pytest.mark.parametrize("code", blocks("ts"))
def test_program_prints_the_answer(code: str, snippet: Callable[[str, str], Path]) -> None:
    """A program for Node prints the answer, and nothing else."""
    assert ANSWER == run_node(snippet("snippet.mjs", code)).removesuffix("\n")


@pytest.mark.parametrize("code", blocks("tsx"))
def test_page_shows_the_answer(code: str, snippet: Callable[[str, str], Path]) -> None:
    """A page's code shows the answer."""
    assert ANSWER in run_node(built(CLIENTS) / "page.mjs", snippet("snippet.tsx", code), ANSWER)


def test_a_graph_asks_in_react(serve: Callable[[FastAPI], Served], tmp_path: Path) -> None:
    """The page of docs/chains.md, over the graph above it, is asked and goes on with the answer."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "docs" / "chains.md").read_text(), re.DOTALL | re.MULTILINE)
    (graph,) = [code for kind, code in found if kind == "python" and "app = create_app(chain=graph)" in code]
    (page,) = [code for kind, code in found if kind == "tsx"]
    names: dict[str, Any] = {"__name__": "mail"}
    exec(graph, names)
    (tmp_path / "node_modules").symlink_to(built(CLIENTS) / "node_modules")
    shutil.copytree(ROOT / "apps" / "react" / "src" / "llmstream", tmp_path / "llmstream")
    path = tmp_path / "snippet.tsx"
    path.write_text(page.replace("http://localhost:8000", serve(names["app"]).url))
    assert "AskSent." == run_node(built(CLIENTS) / "page.mjs", path, "Sent.", "Ask", "Yes").replace(" ", "")


def test_command_prints_the_answer(serve: Callable[[FastAPI], Served], tmp_path: Path) -> None:
    """The console's block prints what the chain says."""
    ollama = find_ollama()
    if ollama is None:
        lacking("Ollama", "put `ollama` on PATH, or build one: bash tests/support/ollama/build.sh .cache/ollama")
    assert ollama is not None

    async def chain(question: str) -> str:
        return f"{question.strip()} {ANSWER}"

    served = serve(create_app(Settings(ollama_url="http://127.0.0.1:9", demo="never"), chain=chain, name="my-chain"))
    ((_, code),) = [block for block in BLOCKS if block[0] == "console"]
    script = code.removeprefix("$ ").replace("http://localhost:8000", served.url)
    path = f"{Path(ollama).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PATH": path, "HOME": str(tmp_path)},
    )
    assert (0, f"What is SSE? {ANSWER}") == (done.returncode, done.stdout.strip()), done.stderr
