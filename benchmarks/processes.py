"""Processes of a benchmark: the upstream and the clients on one core, the measured server alone on the other."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MODEL = "bench:latest"
SERVER_CORE, OTHERS_CORE = sorted(os.sched_getaffinity(0))[-1], sorted(os.sched_getaffinity(0))[0]
_READY_S = 30.0
OPENAI = "llmstream, OpenAI"
USUAL_GRAPH = "graph, the usual way"


class Process:
    """A child that listens on a port of the loopback interface."""

    def __init__(self, module: str, *arguments: str, core: int, **environ: str) -> None:
        self.port = _free_port()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._child = subprocess.Popen(
            [sys.executable, "-m", module, str(self.port), *arguments],
            env={**os.environ, **environ},
            stdout=self._log,
            stderr=self._log,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        try:
            self._wait_ready(module)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._child.pid

    def cpu_s(self) -> float:
        """CPU time of all its threads so far, in seconds."""
        return time.clock_gettime((~self.pid << 3) | 2)  # clock_getcpuclockid(3)

    def rss_bytes(self) -> int:
        """Its resident memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The JSON that it answers, or None for an empty answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"content-type": "application/json"})
            answer = connection.getresponse().read()
            return json.loads(answer) if answer else None
        finally:
            connection.close()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._child.send_signal(number)

    def close(self) -> None:
        """End it, by force if it does not end by itself."""
        self.signal(signal.SIGTERM)
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._log.close()

    def _wait_ready(self, module: str) -> None:
        until = time.monotonic() + _READY_S
        while time.monotonic() < until and self._child.poll() is None:
            try:
                return socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"{module} did not begin to listen within {_READY_S:g} s:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The end of what it has written to its terminal."""
        self._log.seek(0)
        return self._log.read()[-3000:].decode("utf-8", "replace")


def others_cpu_s(*own: Process) -> float:
    """CPU time that the machine has spent so far on anything but these processes and this one, in seconds."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    busy_s = (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")  # without idle and iowait
    return busy_s - time.process_time() - sum(process.cpu_s() for process in own)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def upstream() -> Iterator[Process]:
    """The upstream, on the core of the clients; this process moves there too."""
    os.sched_setaffinity(0, {OTHERS_CORE})
    process = Process("benchmarks.upstream", core=OTHERS_CORE)
    try:
        yield process
    finally:
        process.close()


@contextmanager
def server(name: str, source: Process, core: int = SERVER_CORE, /, **environ: str) -> Iterator[Process]:
    """One of the servers of `serve`, or llmstream over the same source by OpenAI's protocol, on a core of its own.

    environ: more settings.
    """
    if name == OPENAI:
        name, environ = "llmstream", {**environ, "LLMSTREAM_UPSTREAM": f"http://127.0.0.1:{source.port}/v1"}
    fixed = {"OLLAMA_HOST": f"127.0.0.1:{source.port}", "LLMSTREAM_MODEL": MODEL, "LLMSTREAM_DEMO": "never"}
    process = Process("benchmarks.serve", name, core=core, **fixed, **environ)
    try:
        yield process
    finally:
        process.close()
