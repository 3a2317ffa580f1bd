"""What the tests of faults and abuse use: scripts in processes of their own, which must end, and raw requests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any

LIMIT_S = 60


def run_script(code: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A Python script, run to its end in a process of its own; one that hangs is a failure."""
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), **options.pop("env", {})}
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=environment, **options)


def said(code: str, *arguments: str, **options: Any) -> list[str]:
    """The lines that a script prints, which must end well."""
    done = run_script(code, *arguments, **options)
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.splitlines()


def speak(url: str, data: bytes, *, timeout_s: float = 20) -> bytes:
    """All that a server answers to these bytes, until it closes the connection."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
        connection.sendall(data)
        answer = bytearray()
        while part := connection.recv(65536):
            answer += part
    return bytes(answer)
