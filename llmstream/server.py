"""The server of `llmstream serve`: uvicorn, which ends open streams with a terminal event, and drops dead clients."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from llmstream.runs.manager import Runs
from llmstream.uvicorn_protocol import Protocol

# After the drain: how long uvicorn may wait for connections that do not end.
_CLOSE_S = 1
# Threads beside those of the answers: questions about models, files of pages.
_SPARE_THREADS = 8
# How many more objects there must be until the garbage collector looks at the new ones; of how many such looks one goes
# through older ones too, and of how many of those one goes through all. By Python's own numbers (700, 10, 10), what a
# thousand streams have under way in one turn of the loop seemed to have come to stay: the collector looked every turn,
# and every few seconds went through the 290,000 objects of the streams, which took 100 to 190 ms.
_COLLECT_AFTER = (5_000, 5, 5)


class _NoQuery(logging.Filter):
    """Keeps questions and tokens, which come in query strings, out of the access log."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple) and len(record.args) == 5:
            client, method, target, version, status = record.args
            record.args = (client, method, urlsplit(str(target)).path, version, status)
        return True


_no_query = _NoQuery()


class Server(uvicorn.Server):
    """Serves an app until SIGTERM or SIGINT, then drains its runs, at most `drain_s` seconds, before it closes.

    While it drains, new runs are refused with 503; a run that is not finished then gets `failed server_shutdown`, and
    every open stream its end. A second SIGINT skips the wait.
    """

    def __init__(self, app: Any, runs: Runs, **options: Any) -> None:
        self._wake: Callable[[], object] | None = None
        times = {"timeout_s": runs.settings.request_timeout_s, "send_timeout_s": runs.settings.send_timeout_s}
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(Protocol, **times),  # type: ignore[arg-type]
                ws="none",
                log_level="info",
                timeout_graceful_shutdown=_CLOSE_S,
                server_header=False,
                **options,
            )
        )
        self._runs = runs
        logging.getLogger("uvicorn.access").addFilter(_no_query)  # the same one however often

    async def startup(self, sockets: Any = None) -> None:
        # Each answer of a sync chain takes a thread; asyncio's own number of them is below that of the places.
        threads = ThreadPoolExecutor(self._runs.settings.max_active_runs + _SPARE_THREADS, "llmstream")
        asyncio.get_running_loop().set_default_executor(threads)
        await super().startup(sockets)
        # What is alive now stays alive: the collector need not walk it again and again, which takes 100 ms and more.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT_AFTER)

    @property
    def should_exit(self) -> bool:
        """True if the server has been told to stop; set by signals, and from any thread."""
        return self._should_exit

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._should_exit = value
        if value and self._wake is not None:
            self._wake()

    async def main_loop(self) -> None:
        # uvicorn's own looks ten times a second whether it should stop; once a second is enough for the Date header.
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(woken.set)
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), 1)
        self._wake = None

    async def shutdown(self, sockets: Any = None) -> None:
        drain = asyncio.create_task(self._runs.drain())
        while not drain.done() and not self.force_exit:
            await asyncio.wait([drain], timeout=0.1)
        if not drain.done():
            drain.cancel()
            await self._runs.drain(0)
        await super().shutdown(sockets)
