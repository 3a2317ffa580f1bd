"""The processes of pytest-xdist, forked by a Python that has imported the large packages once, not by each of them.

Run as a program it is that Python, or, with the path of its socket, what pytest-xdist starts instead of a Python.
"""

from __future__ import annotations

import gc
import os
import select
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

# None of our own, nor of a plugin of pytest's: their assertions are to be rewritten.
_LARGE = (
    "ag_ui.core, anthropic, fastapi, gradio, ipywidgets, langchain.agents, langchain_ollama, langchain_openai,"
    " langgraph.graph, nbconvert, nbformat, openai, playwright.sync_api, redis.asyncio, uvicorn"
)


@contextmanager
def forking_python() -> Iterator[str]:
    """The command line that starts a Python which has imported the large packages."""
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        address = str(Path(folder, "socket"))
        listener.bind(address)
        listener.listen()
        command = [sys.executable, __file__, str(listener.fileno())]
        with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[listener.fileno()]):
            listener.close()  # so that nobody waits for it if it fails
            yield shlex.join([sys.executable, "-S", "-E", __file__, address])


def _ask(address: str) -> None:
    """Hands this process's input, output and errors to a new one, and waits for its end."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [b" "], [0, 1, 2])
        os.close(0)
        os.close(1)
        connection.recv(1)


def _become(connection: socket.socket) -> None:
    """Turns this process into the one that was asked for, which reads its program as ``python -c`` is told to."""
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    for standard, descriptor in enumerate(files):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    sys.argv = ["-c"]
    main = sys.modules["__main__"] = ModuleType("__main__")
    exec("import sys;exec(eval(sys.stdin.readline()))", main.__dict__)


def _serve(listener: socket.socket) -> None:
    """Forks a process for whoever asks, until its own input ends."""
    sys.path[0] = ""  # as `python -c` has it; this folder has a redis.py
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # as in conftest.py
    exec(f"import {_LARGE}", {})
    assert 1 == threading.active_count(), "a process with threads can't be forked"
    gc.collect()
    gc.freeze()
    while listener.fileno() in select.select([listener.fileno(), 0], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            return _become(connection)  # which holds the connection to its end
        connection.close()


if __name__ == "__main__":
    if sys.argv[1].isdigit():
        _serve(socket.socket(fileno=int(sys.argv[1])))
    else:
        _ask(sys.argv[1])
