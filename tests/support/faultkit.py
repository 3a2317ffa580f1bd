"""What tests break connections with: a TCP proxy that injects faults, and a client that keeps what came before one."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, cast
from urllib.parse import urlsplit

import httptools

from llmstream import sse

_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to one connection.

    cut_down, cut_up: the connection ends after so many bytes to the client, to the server; reset: with RST, not FIN.
    stall_down: after so many bytes nothing more comes, and nothing more is read from the server.
    single_bytes: each byte to the client in a write of its own.
    """

    cut_down: int | None = None
    cut_up: int | None = None
    reset: bool = False
    stall_down: int | None = None
    single_bytes: bool = False


class Proxy:
    """Listens on loopback and passes everything on to `url`; `faults` gives the fault of each new connection.

    url: where to, or what says that for each new connection.
    """

    def __init__(self, url: str | Callable[[], str], faults: Iterator[Fault] | None = None) -> None:
        self.faults = faults
        self.connections = 0
        self.open = 0
        self._target = url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(timeout=10)
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        fault = next(self.faults, Fault()) if self.faults is not None else Fault()
        try:
            target = urlsplit(self._target if isinstance(self._target, str) else self._target())
            up_reader, up_writer = await asyncio.open_connection(target.hostname, target.port)
        except OSError:
            writer.transport.abort()
            self.open -= 1
            self._tasks.discard(task)
            return
        down = asyncio.create_task(_pass(up_reader, writer, fault.cut_down, fault))
        up = asyncio.create_task(_pass(reader, up_writer, fault.cut_up, Fault()))
        try:
            await asyncio.wait([down, up], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # the proxy is closed
        finally:
            for end in (writer, up_writer):
                _end(end, reset=fault.reset)
            down.cancel()
            up.cancel()
            await asyncio.wait([down, up])
            self.open -= 1
            self._tasks.discard(task)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None, fault: Fault) -> None:
    """Pass bytes on until the end, or the limit."""
    sent = 0
    try:
        while limit is None or sent < limit:
            data = await reader.read(65536 if limit is None else limit - sent)
            if not data:
                return
            if fault.stall_down is not None and sent + len(data) > fault.stall_down:
                writer.write(data[: max(0, fault.stall_down - sent)])
                await asyncio.Event().wait()
            for piece in [data[i : i + 1] for i in range(len(data))] if fault.single_bytes else [data]:
                writer.write(piece)
                await writer.drain()
                if fault.single_bytes:
                    await asyncio.sleep(0)
            sent += len(data)
    except OSError:
        return


def _end(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    connection = writer.get_extra_info("socket")
    if reset and connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.close()


class Exchange:
    """One request on a connection of its own, its answer read as it comes; what came before a cut is kept.

    status: 0 until the head of the answer is there. complete: the answer came to its proper end.
    """

    def __init__(
        self,
        url: str,
        method: str = "GET",
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        raw: bytes | None = None,
        timeout_s: float = 20,
        receive_buffer: int | None = None,
        **fields: Any,
    ) -> None:
        parts = urlsplit(url)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.complete = False
        self.ended = False
        self._decoder = sse.Decoder()
        self.messages: list[sse.Message] = []
        self._is_head = method == "HEAD"
        self._parser = httptools.HttpResponseParser(self)
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout_s)
        try:
            self.socket.connect((parts.hostname, parts.port))
        except ConnectionResetError:  # a proxy that cuts at once
            self.ended = True
            return
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if fields:
            body = json.dumps(fields).encode()
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        self._send(raw if raw is not None else _request(method, target or "/", parts.netloc, headers or {}, body))

    def _send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError:
            self.ended = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self._is_head:
            self.complete = self.ended = True

    def on_body(self, data: bytes) -> None:
        self.body += data
        self.messages += self._decoder.feed(data)

    def on_message_complete(self) -> None:
        self.complete = self.ended = True

    def read(self) -> bool:
        """Read what there is; False after the end, which may be a cut."""
        if self.ended:
            return False
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.ended = True
            return False
        self._parser.feed_data(data)
        return not self.ended

    def until(self, condition: Callable[[Exchange], object]) -> Self:
        """Read until the condition holds; fails where the answer ends before."""
        while not condition(self):
            assert self.read() or condition(self), f"the answer ended early: {self.status} {self.body!r}"
        return self

    def head(self) -> Self:
        """Read until the status and the headers are there."""
        return self.until(lambda exchange: exchange.status)

    def all(self) -> Self:
        """Read to the end; the connection is closed."""
        while self.read():
            pass
        self.close()
        return self

    def close(self, *, reset: bool = False) -> None:
        """Leave, with FIN or RST."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.socket.close()

    @property
    def last_id(self) -> str:
        """The id to come back with: of the last message that came whole."""
        return self._decoder.last_id

    @property
    def json(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.body)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The data of the native messages that came whole."""
        return [json.loads(message.data) for message in self.messages]

    @property
    def types(self) -> list[str]:
        """The types of the native messages that came whole."""
        return [message.event for message in self.messages]

    @property
    def text(self) -> str:
        """The answer in the native messages that came whole."""
        return "".join(event["text"] for event in self.events if event["type"] == "token")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _request(method: str, target: str, host: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    fields = {"host": host, **{name.lower(): value for name, value in headers.items()}}
    if body is not None:
        fields = {"content-type": "application/json", "content-length": str(len(body)), **fields}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def ask(url: str, method: str = "GET", **options: Any) -> Exchange:
    """One request, its answer read to the end."""
    return Exchange(url, method, **options).all()


def raw_answer(url: str, data: bytes, *, timeout_s: float = 20) -> Exchange:
    """The answer to exactly these bytes."""
    return Exchange(url, raw=data, timeout_s=timeout_s).all()


@contextmanager
def following(url: str, run_id: str, **headers: str) -> Iterator[Exchange]:
    """A connection that follows a run."""
    exchange = Exchange(f"{url}/runs/{run_id}/events", headers=headers)
    try:
        yield exchange
    finally:
        exchange.close()


def start(url: str, **fields: Any) -> str:
    """Start a run over HTTP; its id."""
    answer = ask(f"{url}/runs", "POST", **fields)
    assert answer.status == 201, answer.body
    return str(answer.json["run_id"])


def eventually(condition: Callable[[], object], *, timeout_s: float = 20) -> bool:
    """Whether something that tells nobody comes true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.005)
    return True
