"""Programs in processes of their own, forked by a Python that has imported the large packages once: a cold one takes
more than a second of work before its first line.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Self

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "tests.support.forked",
        "llmstream.cli.ask",
        "llmstream.cli.serve",
        "llmstream.fastapi",
        "llmstream.server",
        "llmstream.runs.redis.log",
        "langchain_ollama",
    ]
)


class Forked:
    """What ``python -m module arguments`` is, with its standard output as text, and without input or errors.

    environment: variables beside those of this process; files: the paths of its input, output and errors, or of one
    terminal for all of them, instead.
    """

    def __init__(
        self, module: str, *arguments: str, environment: Mapping[str, str] | None = None, files: Sequence[str] = ()
    ) -> None:
        reader, writer = _CONTEXT.Pipe(duplex=False)
        variables = {**os.environ, **(environment or {})}
        self._process = _CONTEXT.Process(
            target=_become, args=(module, arguments, variables, files, writer), daemon=True
        )
        self._process.start()
        writer.close()
        self.stdout = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
        reader.close()

    def started(self) -> None:
        """Waits until it has opened its files."""
        self.stdout.read()  # which it closes then

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process.pid is not None
        return self._process.pid

    def send_signal(self, number: signal.Signals) -> None:
        """Sends it a signal, if it still runs."""
        with suppress(ProcessLookupError):
            if self._process.is_alive():
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()

    def terminate(self) -> None:
        """Asks it to end."""
        self._process.terminate()

    def wait(self, timeout_s: float | None = None) -> int:
        """Waits for its end; its exit code."""
        self._process.join(timeout_s)
        assert self._process.exitcode is not None, "it did not end"
        return self._process.exitcode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Ends it, also where it was stopped."""
        self.send_signal(signal.SIGCONT)
        self.kill()
        self.wait()
        self.stdout.close()


def _become(
    module: str, arguments: tuple[str, ...], variables: Mapping[str, str], files: Sequence[str], output: Connection
) -> None:
    os.environ.clear()
    os.environ.update(variables)
    os.setsid()
    opened = [os.open(path, os.O_RDWR | os.O_NOCTTY) for path in files or [os.devnull] * 3]
    if not files:
        os.dup2(output.fileno(), opened[1])
    for standard, descriptor in enumerate(opened):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    output.close()
    # The process's own, to its end.
    sys.stdin, sys.stdout = open(0, encoding="utf-8", closefd=False), open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.argv = [module, *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
