"""A real Ollama for tests: started on a free port, with a home and models of its own, ended with all its processes.

A person's Ollama is never asked, stopped or written to.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil  # type: ignore[import-untyped]

from tests.support import DATA, ROOT

_MODELS = DATA / "models"
_START_TIMEOUT_S = 60.0
_COMMAND_TIMEOUT_S = 120.0
_QUIET_S = 0.5
_never = threading.Event()
_LISTENING = re.compile(r"Listening on [^ ]*:(\d+)")


def find_ollama() -> Path | None:
    """The binary to test with: ``LLMSTREAM_TEST_OLLAMA``, else ``.cache/ollama/ollama``, else the one on PATH.

    ``tests/support/ollama/build.sh .cache/ollama`` builds the second.
    """
    if named := os.environ.get("LLMSTREAM_TEST_OLLAMA"):
        return Path(named)
    built = ROOT / ".cache" / "ollama" / "ollama"
    if built.is_file():
        return built
    on_path = shutil.which("ollama")
    return Path(on_path) if on_path else None


class RealOllama:
    """An ``ollama serve`` with ``tiny-chat`` (thinks, calls tools) and ``tiny-plain`` (neither); a context manager.

    Args:
        binary: The ``ollama`` to run.
        parallel: Requests it serves at once (``OLLAMA_NUM_PARALLEL``).
    """

    def __init__(self, binary: Path, *, parallel: int = 1) -> None:
        self._binary = binary
        self._parallel = parallel
        self._home = tempfile.TemporaryDirectory(prefix="llmstream-ollama-", ignore_cleanup_errors=True)
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._listening = threading.Event()
        self.log: list[str] = []

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``; the port stays the same over restarts."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> Self:
        """Starts the server, creates the models the first time, and returns when it answers.

        Raises:
            RuntimeError: It did not come up; the end of its log is in the message.
        """
        first = self._port == 0
        self._listening.clear()
        self._process = subprocess.Popen(
            [self._binary, "serve"],
            env=self._environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read_log, args=(self._process,), daemon=True)
        self._reader.start()
        if not self._listening.wait(_START_TIMEOUT_S) or self._process.poll() is not None:
            self.stop()
            raise RuntimeError("Ollama did not start:\n" + "".join(self.log[-10:]))
        if first:
            self.create("tiny-chat", "Modelfile")
            self.create("tiny-plain", "Modelfile.plain")
        return self

    def stop(self) -> None:
        """Ends the server and whatever it left running; its models stay for the next start."""
        if self._process is None:
            return
        # The group outlives its server: a runner of a killed server lives on as an orphan.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._reader is not None:
            self._reader.join()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._process = self._reader = None

    def restart(self) -> None:
        """Stops and starts on the same port."""
        self.stop()
        self.start()

    def create(self, name: str, modelfile: str) -> None:
        """Creates a model from a file in ``tests/data/models``."""
        self._run("create", name, "-f", modelfile)

    def ps(self) -> list[dict[str, Any]]:
        """The loaded models, as ``/api/ps`` lists them."""
        with urllib.request.urlopen(f"{self.url}/api/ps", timeout=_COMMAND_TIMEOUT_S) as answer:
            models: list[dict[str, Any]] = json.load(answer)["models"]
        return models

    def runner_pids(self) -> list[int]:
        """The processes that run models."""
        if self._process is None:
            return []
        group = self._process.pid
        listing = subprocess.run(["ps", "-A", "-o", "pid=,pgid="], capture_output=True, text=True, check=True).stdout
        rows = [[int(field) for field in line.split()] for line in listing.splitlines()]
        return [pid for pid, pgid in rows if pgid == group and pid != group]

    def wait_idle(self, timeout_s: float = 20.0) -> bool:
        """Whether the runners come to rest: none of them takes CPU time for half a second."""
        until = time.monotonic() + timeout_s
        before = -1.0
        while (spent := self._cpu_s()) != before:
            if time.monotonic() > until:
                return False
            before = spent
            _never.wait(_QUIET_S)
        return True

    def _cpu_s(self) -> float:
        """CPU time of the runners there are now; one may end at any moment."""
        spent = 0.0
        for pid in self.runner_pids():
            with suppress(psutil.NoSuchProcess):
                spent += sum(psutil.Process(pid).cpu_times()[:2])
        return spent

    def kill_runner(self) -> None:
        """Kills the runners with SIGKILL, as the system does when memory runs out."""
        for pid in self.runner_pids():
            os.kill(pid, signal.SIGKILL)

    def kill_server(self) -> None:
        """Kills the server with SIGKILL; its runner lives on until `stop`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        """Starts the server."""
        return self.start()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the server and removes its files."""
        self.stop()
        self._home.cleanup()

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
        return kept | {
            "HOME": self._home.name,
            "OLLAMA_MODELS": str(Path(self._home.name) / "models"),
            "OLLAMA_HOST": f"127.0.0.1:{self._port}",
            "OLLAMA_NUM_PARALLEL": str(self._parallel),
            "OLLAMA_NO_CLOUD": "1",
            "OLLAMA_NOHISTORY": "1",
        }

    def _run(self, *arguments: str) -> None:
        subprocess.run(
            [self._binary, *arguments],
            cwd=_MODELS,
            env=self._environment(),
            check=True,
            capture_output=True,
            timeout=_COMMAND_TIMEOUT_S,
        )

    def _read_log(self, process: subprocess.Popen[str]) -> None:
        # Ollama picks the port itself (the first time it gets port 0) and names it when it has begun to listen.
        if process.stderr is None:
            return
        for line in process.stderr:
            self.log.append(line)
            if match := _LISTENING.search(line):
                self._port = int(match[1])
                self._listening.set()
        self._listening.set()
