"""Several processes on the same sockets: started, started again when one dies, and stopped together."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from llmstream.view.safe import print_line

# A process that fails sooner after its start, in seconds, would fail again and again.
_STARTUP_S = 5.0
_POLL_S = 0.5

Work = Callable[[Sequence[socket.socket], int], int]


class Workers:
    """`count` processes that each do `work(listeners, number)`, which can be pickled, for they are spawned."""

    def __init__(self, count: int, work: Work, listeners: Sequence[socket.socket]) -> None:
        self._work = work
        self._listeners = listeners
        self._stopping = False
        self._failed = False
        self._context = multiprocessing.get_context("spawn")
        self._running: dict[int, tuple[BaseProcess, float]] = {}
        self._count = count

    def run(self) -> int:
        """Serves until SIGTERM or SIGINT; 1 where a process could not begin."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        for number in range(self._count):
            self._start(number)
        while self._running:
            wait([process.sentinel for process, _ in self._running.values()], timeout=_POLL_S)
            for number, (process, started_at) in list(self._running.items()):
                if not process.is_alive():
                    self._ended(number, process, time.monotonic() - started_at)
        return 1 if self._failed else 0

    def _start(self, number: int) -> None:
        process = self._context.Process(target=_begin, args=(self._work, list(self._listeners), number))
        process.start()
        self._running[number] = (process, time.monotonic())

    def _ended(self, number: int, process: BaseProcess, lived_s: float) -> None:
        process.join()
        del self._running[number]
        if self._stopping:
            return
        if process.exitcode and process.exitcode > 0 and lived_s < _STARTUP_S:
            self._failed = True
            self._stop(signal.SIGTERM, None)
        else:
            print_line(f"Process {process.pid} ended ({process.exitcode}); another one takes its place.")
            self._start(number)

    def _stop(self, number: int, frame: Any) -> None:
        self._stopping = True
        for process, _ in self._running.values():
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, number)


def _begin(work: Work, listeners: Sequence[socket.socket], number: int) -> None:
    threading.Thread(target=_follow_parent, daemon=True).start()
    raise SystemExit(work(listeners, number))


def _follow_parent() -> None:
    """Stops this process when the one that started it is gone, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
