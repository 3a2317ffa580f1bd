"""Many connections of one process, on uvloop; each counts what it reads."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

import uvloop

_STAMP = re.compile(rb"T(\d{16})")
_END = b"0\r\n\r\n"
# How much of its beginning a watcher keeps.
_KEPT_BYTES = 16 * 2**10
_Result = TypeVar("_Result")


def run(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Run this on uvloop, in this process."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


class Watcher(asyncio.Protocol):
    """Sends one request and reads its answer; `done` comes with the end of the answer or of the connection.

    on_data: told what came, with every read.
    """

    def __init__(self, request: bytes, on_data: Callable[[bytes], None] | None = None) -> None:
        self.size = 0
        self.first = b""
        self.complete = False
        self.done = asyncio.get_running_loop().create_future()
        self._request = request
        self._on_data = on_data
        self._tail = b""
        self._wanted, self._seen = b"", asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    async def saw(self, wanted: bytes) -> None:
        """Wait until these bytes are among the first that came; at most 60 seconds."""
        self._wanted = wanted
        self._look()
        async with asyncio.timeout(60):
            await self._seen.wait()

    def data_received(self, data: bytes) -> None:
        self.size += len(data)
        if len(self.first) < _KEPT_BYTES:
            self.first += data
            self._look()
        if self._on_data is not None:
            self._on_data(data)
        self._tail = (self._tail + data[-5:])[-5:]
        if self._tail == _END:
            self.complete = True
            self._finish()

    def connection_lost(self, error: Exception | None) -> None:
        self._finish()

    def _look(self) -> None:
        if self._wanted and self._wanted in self.first:
            self._seen.set()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def watch(port: int, request: bytes, on_data: Callable[[bytes], None] | None = None) -> Watcher:
    """A watcher that is connected and has asked."""
    loop = asyncio.get_running_loop()
    _, watcher = await loop.create_connection(lambda: Watcher(request, on_data), "127.0.0.1", port)
    return watcher


class Lateness:
    """How long tokens with a stamp took from the upstream to here, in seconds, in the time that counts."""

    def __init__(self) -> None:
        self.late_s: list[float] = []
        self.counts = False

    def on_data(self, data: bytes) -> None:
        """Bytes that hold stamps; one that is cut in two is left out."""
        if self.counts:
            now = time.monotonic_ns()
            self.late_s += [(now - int(stamp)) / 1e9 for stamp in _STAMP.findall(data)]
