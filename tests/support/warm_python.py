"""A Python that has imported the large packages once and forks itself for every script, which saves seconds for each.

Run as a program it reads scripts as JSON lines, and answers each with its exit code.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

_WARM = "import fastapi, gradio, langchain_ollama, llmstream.fastapi, uvicorn"
_TIMEOUT_S = 100


class WarmPython:
    """Runs scripts, one at a time, each in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, code: str, folder: Path, environment: Mapping[str, str]) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of a script that runs in a folder."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        job = {"code": code, "folder": str(folder), "environment": dict(environment)}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        exit_code = int(self._process.stdout.readline())
        return exit_code, (folder / "stdout").read_text(), (folder / "stderr").read_text()


@contextmanager
def warm_python(*flags: str) -> Iterator[WarmPython]:
    """A warm Python, with warnings and the like as the flags say."""
    command = [sys.executable, *flags, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield WarmPython(process)
        assert process.stdin is not None
        process.stdin.close()


def _redirect(descriptor: int, path: str, flags: int) -> None:
    opened = os.open(path, flags, 0o600)
    os.dup2(opened, descriptor)
    os.close(opened)


def _become(job: Mapping[str, Any]) -> None:
    """Turns this process into one that runs the script."""
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    sys.path[0] = ""  # as `python -c` has it
    sys.argv = ["-c"]
    _redirect(0, os.devnull, os.O_RDONLY)
    _redirect(1, "stdout", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    _redirect(2, "stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    signal.alarm(_TIMEOUT_S)
    main = sys.modules["__main__"] = ModuleType("__main__")
    exec(compile(job["code"], "<string>", "exec"), main.__dict__)


def _serve() -> None:
    exec(_WARM, {})
    assert 1 == threading.active_count(), "a process with threads can't be forked"
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
