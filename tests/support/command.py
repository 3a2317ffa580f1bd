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

from llmstream.demo_ollama import DemoOllama
from tests.support import ROOT

COMMAND = [sys.executable, "-m", "llmstream"]


def environment(ollama: str, **variables: str) -> dict[str, str]:
    # Output as UTF-8 wherever the tests run.
    return {**os.environ, "OLLAMA_HOST": ollama, "PYTHONUTF8": "1", "TERM": "xterm-256color", **variables}


@contextmanager
def piped(*arguments: str, ollama: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command with pipes, ended at the end of the block whatever happens."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=ROOT, env=environment(ollama), stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@dataclass
class Process:
    """`llmstream serve` in a process of its own."""

    url: str
    process: subprocess.Popen[str]

    def ends_within(self, seconds: float) -> int:
        """Wait for its end; its exit code."""
        return self.process.wait(timeout=seconds)


@contextmanager
def served(upstream: DemoOllama, **environ: str) -> Iterator[Process]:
    """The command with these settings."""
    variables = {f"LLMSTREAM_{name.upper()}": value for name, value in environ.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "llmstream", "serve", "--port", "0", "--no-demo"],
        env={**os.environ, "OLLAMA_HOST": upstream.url, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    reading: threading.Thread | None = None
    try:
        for line in process.stdout:
            if match := re.search(r"listens on (http://\S+)", line):
                break
        else:
            raise AssertionError("the server did not start")
        # What else it says is read too, or it would stand still when the pipe is full.
        reading = threading.Thread(target=process.stdout.read)
        reading.start()
        yield Process(match[1], process)
    finally:
        process.kill()
        process.wait()
        if reading is not None:
            reading.join()
        process.stdout.close()
