"""The README's and the docs' code blocks run as they stand."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from llmstream import stream
from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.libraries import recipes
from tests.support import ROOT
from tests.support.serving import Served
from tests.support.warm_python import WarmPython, warm_python

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


# The app in a file that a test of it imports.
MAIN = (ROOT / "docs/how-to/test-my-app.md").read_text().partition("```python\n# main.py\n")[2].partition("```")[0]


def blocks(language: str) -> list[object]:
    """Every block of a language, with a name."""
    return [
        pytest.param(code, id=f"{page.name}:{page.read_text()[: match.start()].count(chr(10)) + 2}")
        for page in PAGES
        for match in _BLOCK.finditer(page.read_text())
        for code in [match[2]]
        if match[1] == language
    ]


@pytest.fixture
def served(serve: Callable[[FastAPI], Served], upstream: DemoOllama, monkeypatch: pytest.MonkeyPatch) -> Served:
    """A server on the demo Ollama, where the docs say localhost:8000."""
    monkeypatch.setenv("OLLAMA_HOST", upstream.url)
    return serve(create_app(Settings(ollama_url=upstream.url, model="demo", demo="never")))


@pytest.fixture(scope="module")
def python() -> Iterator[WarmPython]:
    """A Python to which every warning is an error."""
    # A ChatOllama leaves its connections open at the end of the process.
    with warm_python("-W", "error", "-W", "ignore::ResourceWarning") as python:
        yield python


@pytest.mark.parametrize("code", blocks("python"))
def test_python_block_runs(code: str, served: Served, python: WarmPython, tmp_path: Path) -> None:
    """A Python block runs, and so do the coroutine or the test function that it only defines."""
    code = code.replace("http://localhost:8000", served.url)
    if "\nimport main\n" in code:
        (tmp_path / "main.py").write_text(MAIN)
    if "async def main" in code and "asyncio.run" not in code:
        code += "\nimport asyncio\nasyncio.run(main())\n"
    if "def test_" in code:
        (tmp_path / "test_block.py").write_text(code)
        options = ["-q", "-o", "asyncio_default_fixture_loop_scope=function"]
        code = f"import pytest, sys; sys.exit(pytest.main([*{options}, 'test_block.py']))"
    exit_code, output, errors = python.run(code, tmp_path, os.environ)
    assert (0, "") == (exit_code, errors), output


@pytest.mark.parametrize("code", blocks("bash"))
def test_bash_block_runs(code: str, served: Served, tmp_path: Path) -> None:
    """A bash block runs without a failing command."""
    script = code.replace("localhost:8000", served.url.removeprefix("http://"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def test_every_setting_is_documented() -> None:
    """The table of settings names every field."""
    text = (ROOT / "docs" / "deploy.md").read_text()
    missing = [field.name for field in dataclasses.fields(Settings) if f"`{field.name}`" not in text]
    assert [] == missing


def test_links_lead_somewhere() -> None:
    """A link to a file of the repository names one that is there."""
    links = [
        (page.name, target)
        for page in [*PAGES, ROOT / "CONTRIBUTING.md"]
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert [] == links


def test_the_readme_leads_to_every_page() -> None:
    """In one click."""
    targets = set(re.findall(r"\]\((docs/[^)#]+)", (ROOT / "README.md").read_text()))
    assert set() == {str(page.relative_to(ROOT)) for page in PAGES[1:]} - targets


def test_how_to_pages_are_short_and_run() -> None:
    """Each holds something that is executed, and little else."""
    pages = {page.name: page.read_text() for page in (ROOT / "docs" / "how-to").glob("*.md")}
    assert [] == [name for name, text in pages.items() if text.count("\n") > 70]
    assert [] == [name for name, text in pages.items() if not re.search("^```(python|bash)$", text, re.MULTILINE)]


def test_recipes_are_short_and_run() -> None:
    """Each has at most 20 lines of code, and `make libraries` knows it, with the versions of what it needs."""
    page = (ROOT / "docs" / "recipes.md").read_text()
    found = dict(re.findall(r"^```python (\S+)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE))
    pinned = {path.stem for path in (ROOT / "tests" / "libraries" / "constraints").glob("*.txt")}
    assert recipes.NAMES == list(found)
    assert set() == set(found) - pinned
    assert [] == [name for name, code in found.items() if sum(map(bool, code.splitlines())) > 20]


def test_the_distribution_has_its_own_name() -> None:
    """The name `llmstream` is another project's: nobody is told to install that."""
    folders = ("llmstream", "docs", "notebooks", "deploy", "apps/react/src")
    files = [
        file
        for folder in folders
        for end in ("py", "md", "ipynb", "yaml")
        for file in (ROOT / folder).rglob(f"*.{end}")
    ]
    told = re.compile(r"pip install [^`\n]*?[\s\"']llmstream(?!-toolkit)\b|\bllmstream\[")
    assert [] == [str(file) for file in [*files, ROOT / "README.md"] if told.search(file.read_text())]


def test_demo_answers_from_these_pages() -> None:
    """The demo finds the passage about mounting, with its code."""
    with DemoOllama(tokens_per_s=None) as demo:
        answer = "".join(
            stream("How do I mount llmstream in my FastAPI app?", settings=Settings(ollama_url=demo.url, demo="never"))
        )
    assert "create_router" in answer
    assert "```python" in answer
