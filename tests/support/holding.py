"""What the tests of faults and abuse use: scripts in processes of their own, which must end, and raw requests."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.forked import Forked
from tests.support.serving import get

LIMIT_S = 60


def run_script(code: str) -> subprocess.CompletedProcess[str]:
    """A Python script, run to its end in a process of its own; one that hangs is a failure."""
    with TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        out.touch()
        err.touch()
        with Forked("tests.support.script", code, files=[os.devnull, str(out), str(err)]) as process:
            exit_code = process.wait(LIMIT_S)
        return subprocess.CompletedProcess(code, exit_code, out.read_text("utf-8"), err.read_text("utf-8"))


def said(code: str) -> list[str]:
    """The lines that a script prints, which must end well."""
    done = run_script(code)
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.splitlines()


def speak(url: str, begun: bytes, *rest: bytes, timeout_s: float = 20) -> bytes:
    """All that a server answers to these bytes, until it closes the connection; each once it has read the last."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(begun)
        for piece in rest:
            get(f"{url}/health")
            connection.sendall(piece)
        answer = bytearray()
        while part := connection.recv(65536):
            answer += part
    return bytes(answer)
