"""What several tests of Ollama's dialect send."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.lacking import lacking
from tests.support.real_ollama import find_ollama
from tests.support.serving import Served


async def echo(question: str) -> str:
    """A chain that repeats the question."""
    return f"You asked: {question.strip()}"


@contextmanager
def ollama_run(served: Served, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command, with the server for its Ollama."""
    command = find_ollama()
    if command is None:
        lacking("Ollama", "put `ollama` on PATH, or build one: bash tests/support/ollama/build.sh .cache/ollama")
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = {**os.environ, "OLLAMA_HOST": f"{served.url}/ollama", "HOME": os.environ.get("HOME", "/tmp")}
    with subprocess.Popen([str(command), "run", *arguments], env=environment, **pipes) as run:
        try:
            yield run
        finally:
            run.kill()


def said(served: Served, *arguments: str, typed: str = "") -> tuple[int, str, str]:
    """How the command ended, its answer without the two newlines that it adds, and its errors."""
    with ollama_run(served, *arguments) as run:
        out, errors = run.communicate(typed.encode(), timeout=100)
    return run.returncode, out.decode().removesuffix("\n\n"), errors.decode()
