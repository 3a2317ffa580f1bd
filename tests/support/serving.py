"""What several tests use: a server in a thread, and a client that reads an event stream off a socket."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI

from llmstream import sse
from llmstream.demo_ollama import DemoOllama
from llmstream.events import Event, Reasoning, Token, from_dict
from llmstream.runs.manager import Runs
from llmstream.server import Server


@dataclass
class Served:
    """A running server."""

    url: str
    runs: Runs
    server: Server
    thread: threading.Thread

    def stop(self) -> None:
        """What SIGTERM does; returns when the server has ended."""
        self.server.should_exit = True
        self.thread.join(timeout=30)
        assert not self.thread.is_alive(), "the server did not end"


class _Server(Server):
    """Says when it listens."""

    def __init__(self, app: FastAPI, runs: Runs) -> None:
        super().__init__(app, runs, lifespan="on")
        self.listening = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listening.set()


# The fixture `serve`: serves an app until the test ends.
Serve = Callable[[FastAPI], Served]


@contextmanager
def serving(app: FastAPI, *, port: int = 0) -> Iterator[Served]:
    """The app of `create_app` on a free loopback port: on this one, if it is."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.bind(("127.0.0.1", 0))
    runs: Runs = app.state.runs
    server = _Server(app, runs)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    assert server.listening.wait(timeout=20), "the server did not start"
    served = Served(f"http://127.0.0.1:{listener.getsockname()[1]}", runs, server, thread)
    try:
        yield served
    finally:
        if thread.is_alive():
            served.stop()


def messages(body: bytes) -> list[sse.Message]:
    """The messages of an SSE body."""
    return sse.Decoder().feed(body)


def native_events(body: bytes) -> list[Event]:
    """The events of a native SSE body."""
    found = (from_dict(json.loads(message.data)) for message in messages(body))
    return [event for event in found if event is not None]


def answer(events: Sequence[Event]) -> str:
    """The text of an answer."""
    return "".join(event.text for event in events if isinstance(event, Token))


def reasoning(events: Sequence[Event]) -> str:
    """The thinking of an answer."""
    return "".join(event.text for event in events if isinstance(event, Reasoning))


def plain_answer(body: bytes) -> str:
    """The text that a client of the plain dialect shows: it appends every event's data, whatever its name."""
    return "".join(message.data for message in messages(body))


def post(url: str, json: Any = None, **options: Any) -> httpx.Response:
    """One POST, the whole answer read."""
    with httpx.Client(timeout=30) as client:
        return client.post(url, json=json, **options)


def get(url: str, **options: Any) -> httpx.Response:
    """One GET, the whole answer read."""
    with httpx.Client(timeout=30) as client:
        return client.get(url, **options)


def generations(upstream: DemoOllama) -> int:
    """How many answers Ollama was asked for."""
    return sum(record.path == "/api/chat" for record in upstream.requests)
