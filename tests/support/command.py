"""The command `llmstream` in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from llmstream.demo_ollama import DemoOllama
from tests.support import ROOT
from tests.support.forked import Forked

TIMEOUT_S = 60
COMMAND = [sys.executable, "-m", "llmstream"]


def environment(ollama: str, **variables: str) -> dict[str, str]:
    # Output as UTF-8 wherever the tests run.
    return {**os.environ, "OLLAMA_HOST": ollama, "PYTHONUTF8": "1", "TERM": "xterm-256color", **variables}


@contextmanager
def piped(*arguments: str, ollama: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command with pipes and nothing to read, ended at the end of the block whatever happens."""
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=ROOT, env=environment(ollama), stdin=nothing, stdout=pipe, stderr=pipe, bufsize=0
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run(*arguments: str, ollama: str, output: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """The command, run to its end with nothing to read.

    output: the path of a device that its output goes to, instead of to the result.
    """
    with TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        out.touch()
        err.touch()
        files = [os.devnull, output or str(out), str(err)]
        with Forked("llmstream", *arguments, environment=environment(ollama, **variables), files=files) as process:
            code = process.wait(TIMEOUT_S)
        return subprocess.CompletedProcess(arguments, code, out.read_text("utf-8"), err.read_text("utf-8"))


def forked(*arguments: str, ollama: str) -> Forked:
    """The command in a process that takes no second to start."""
    return Forked("llmstream", *arguments, environment=environment(ollama))


@dataclass
class Process:
    """`llmstream serve` in a process of its own."""

    url: str
    process: Forked

    def ends_within(self, seconds: float) -> int:
        """Wait for its end; its exit code."""
        return self.process.wait(seconds)


@contextmanager
def served(upstream: DemoOllama, **environ: str) -> Iterator[Process]:
    """The command with these settings."""
    variables = {f"LLMSTREAM_{name.upper()}": value for name, value in environ.items()}
    variables["OLLAMA_HOST"] = upstream.url
    with Forked("llmstream", "serve", "--port", "0", "--no-demo", environment=variables) as process:
        for line in process.stdout:
            if match := re.search(r"listens on (http://\S+)", line):
                break
        else:
            raise AssertionError("the server did not start")
        threading.Thread(target=process.stdout.read, daemon=True).start()  # else a full pipe would stop the server
        yield Process(match[1], process)
