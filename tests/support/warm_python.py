"""A Python that has imported the large packages once and forks itself for every script, which saves seconds for each.

Run as a program it reads scripts as JSON lines, and answers each with its exit code.
"""

from __future__ import annotations

import atexit
import gc
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

_WARM = (
    "fastapi, gradio, langchain.agents, langchain_ollama, langchain_openai, langgraph.graph,"
    " llmstream.cli.serve, llmstream.fastapi, pytest, uvicorn"
)
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
def warm_python(*flags: str, imports: str = _WARM) -> Iterator[WarmPython]:
    """A warm Python that has imported these, with warnings and the like as the flags say."""
    command = [sys.executable, *flags, __file__, f"import {imports}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield WarmPython(process)
        assert process.stdin is not None
        process.stdin.close()


def _redirect(descriptor: int, path: str, flags: int) -> None:
    opened = os.open(path, flags, 0o600)
    os.dup2(opened, descriptor)
    os.close(opened)


def _become(job: Mapping[str, Any]) -> None:
    """Turns this process into one that is about to run the script."""
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    sys.path[0] = ""  # as `python -c` has it
    sys.argv = ["-c"]
    _redirect(0, os.devnull, os.O_RDONLY)
    _redirect(1, "stdout", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    _redirect(2, "stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    signal.alarm(_TIMEOUT_S)


def _run(code: str) -> int:
    """The exit code of a script, which has said and ended all that a process does at its end."""
    main = sys.modules["__main__"] = ModuleType("__main__")
    exit_code = 0
    try:
        exec(compile(code, "<string>", "exec"), main.__dict__)
    except SystemExit as error:
        exit_code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        exit_code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    main.__dict__.clear()
    gc.collect()  # what it has left complains now
    sys.stdout.flush()
    sys.stderr.flush()
    return exit_code


def _serve() -> None:
    exec(sys.argv[1], {})
    assert 1 == threading.active_count(), "a process with threads can't be forked"
    gc.collect()
    gc.freeze()  # a child that looks for garbage would copy all of it
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            job = json.loads(line)
            _become(job)
            # Past the interpreter's own end, which takes apart all that was imported: longer than most scripts take.
            os._exit(_run(job["code"]))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
