"""Runs the demo Ollama in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import uvicorn
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llmstream.demo_ollama.activity import Activity, RequestRecord
from llmstream.demo_ollama.answers import DEMO, DemoBackend
from llmstream.demo_ollama.app import Front
from llmstream.demo_ollama.scripted_answers import Answers, Script
from llmstream.ollama_server.app import OLLAMA_VERSION, create_ollama_app
from llmstream.ollama_server.backend import Model
from llmstream.ollama_server.loaded import LoadedModels
from llmstream.settings import override

_START_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 1.0
_BACKLOG = 2048
_ABLE = ("completion", "tools", "thinking", "vision", "insert")


class DemoOllama:
    """A server on loopback that speaks Ollama's protocol; a context manager.

    port: the one to listen on; 0 for a free one, which is kept when the server is started again. tokens_per_s: pace of
    the answers; None for full speed. scenarios: whether the models `demo:<scenario>` inject faults; see `scenarios`.
    any_model: whether every other name is a model too, which can do what a request may want; `demo:…` without a
    scenario is none. docs: Markdown files to answer from; None for llmstream's own documentation.
    models: the models `/api/tags` lists, by full name; may be changed at any time.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        tokens_per_s: float | None = 40.0,
        scenarios: bool = False,
        any_model: bool = False,
        docs: Sequence[Path] | None = None,
    ) -> None:
        self.port = port
        self._answers = Answers()
        self._any_model = any_model
        self._activity = Activity()
        self._backend = DemoBackend(
            tokens_per_s=tokens_per_s, docs=docs, answers=self._answers, find_hidden=self._find_hidden
        )
        self.models: dict[str, Model] = self._backend.listed
        if any_model:
            self.models[DEMO.name] = replace(DEMO, capabilities=_ABLE)
        loaded = LoadedModels()
        self._front = Front(
            create_ollama_app(self._backend, version=f"{OLLAMA_VERSION}-demo", loaded=loaded),
            activity=self._activity,
            loaded=loaded,
            scenarios=scenarios,
            interval_s=1 / tokens_per_s if tokens_per_s else 0.0,
            drop=lambda scope, reset: self._server.drop(scope, reset=reset) if self._server else None,
        )
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def answers(self) -> Answers:
        """The answers from question to script, for all models, see `Answers`; may be changed or set at any time."""
        return self._answers

    @answers.setter
    def answers(self, answers: Mapping[Any, Script]) -> None:
        self._answers.replace(answers)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`; the port is known once the server has started."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[RequestRecord]:
        """A record of each of the last thousand requests, oldest first."""
        return list(self._activity.requests)

    @property
    def active(self) -> int:
        """Generations under way: requests to chat or generate whose answer has not ended and whose client is there."""
        return self._activity.active

    def wait_idle(self, *, timeout_s: float = 5.0) -> bool:
        """Blocks until no generation is under way; False if that took longer than `timeout_s`."""
        return self._activity.wait(least=0, most=0, timeout_s=timeout_s)

    def wait_active(self, count: int = 1, *, timeout_s: float = 5.0) -> bool:
        """Blocks until at least `count` generations are under way; False if that took longer than `timeout_s`."""
        return self._activity.wait(least=count, most=float("inf"), timeout_s=timeout_s)

    def start(self) -> Self:
        """Starts the server and returns when it answers; does nothing if it runs.

        Raises `OSError` where the port is taken, `RuntimeError` where the server does not come up.
        """
        if self._thread is not None:
            return self
        listener = socket.create_server(("127.0.0.1", self.port), backlog=_BACKLOG)
        self.port = listener.getsockname()[1]
        self._server = server = _Server(self._front)
        # A daemon: a notebook or a script that never closes the demo can still end.
        self._thread = threading.Thread(target=server.run, args=([listener],), name="demo-ollama", daemon=True)
        self._thread.start()
        if not server.up.wait(_START_TIMEOUT_S) or not server.started:
            raise RuntimeError(f"The demo Ollama did not start on port {self.port}.")
        return self

    def close(self) -> None:
        """Stops the server at once, cutting open streams as a killed server does; does nothing if it is stopped."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return
        server.stop()
        thread.join()
        self._server = self._thread = None
        self._backend.close()

    def __enter__(self) -> Self:
        """Starts the server."""
        return self.start()

    def __exit__(self, *error: object) -> None:
        """Stops the server."""
        self.close()

    def _find_hidden(self, name: str) -> Model | None:
        found = self._front.find(name)
        if found is not None:
            return found.model
        if not self._any_model or name.startswith("demo:"):
            return None
        return self.models.get(DEMO.name) or Model(name, capabilities=_ABLE)  # another name for it, which no list has


class _Protocol(HttpToolsProtocol):
    """Logs no requests; uvicorn's own switch would silence every other server of this process too."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.access_log = False


class _Server(uvicorn.Server):
    """A server that says when it is up, and that stops at once instead of waiting for open streams."""

    def __init__(self, app: Front) -> None:
        super().__init__(
            uvicorn.Config(app, http=_Protocol, lifespan="off", ws="none", log_config=None, server_header=False)
        )
        self.up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Runs until `stop`; `up` is set when the server answers, and when it failed."""
        try:
            super().run(sockets)
        finally:
            self.up.set()

    def stop(self) -> None:
        """Stops the server; may be called from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)

    def drop(self, scope: Scope, *, reset: bool) -> None:
        """Closes the connection of a request after what was written is sent (FIN), or resets it (RST)."""
        for connection in list(self.server_state.connections):
            if connection.transport.get_extra_info("peername") == scope["client"]:
                _close(connection.transport, reset=reset)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Says that the server is up."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.up.set()

    async def main_loop(self) -> None:
        """Waits for the end, and keeps the Date header of answers fresh; uvicorn's own looks ten times a second."""
        while not self._stopping.is_set():
            await self.on_tick(0)
            try:
                await asyncio.wait_for(self._stopping.wait(), 1)
            except TimeoutError:
                continue

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Closes the listener and cuts all connections; uvicorn's own would wait for open streams."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if self.server_state.tasks:
            await asyncio.wait(list(self.server_state.tasks), timeout=_STOP_TIMEOUT_S)


def _close(transport: asyncio.Transport, *, reset: bool) -> None:
    if not reset:
        transport.close()
        return
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


@contextmanager
def demo(*, tokens_per_s: float | None = 40.0) -> Iterator[DemoOllama]:
    """The demo Ollama for this block: all of this process asks it, under any name. tokens_per_s: None is full speed."""
    with DemoOllama(tokens_per_s=tokens_per_s, any_model=True) as server, override(ollama_url=server.url, model=None):
        yield server
