"""One connection to a model server: a request out, and its response handed on by the read that brought it."""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol, cast

import httptools

from llmstream.errors import UpstreamError
from llmstream.ollama.endpoint import Target

# The head of an answer has a few hundred bytes, and its parser keeps what brings no piece of the body.
_HEAD_BYTES = 64 * 2**10


class Receiver(Protocol):
    """Takes a response, in the event loop's callbacks: its methods must not raise or take long."""

    def head(self, status: int) -> None:
        """Takes the status, before the body."""

    def feed(self, data: bytes) -> None:
        """Takes the part of the body that one read of the socket brought."""

    def end(self, error: UpstreamError | None) -> None:
        """Called once when the response is complete, or will never be, unless the request is left before."""


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.lost = asyncio.get_running_loop().create_future()
        self.timer: asyncio.TimerHandle | None = None
        self.socket: socket.socket | None = None
        self.reusable = False
        self._transport: asyncio.Transport | None = None
        self._receiver: Receiver | None = None
        self._reset()

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._head_bytes = self._status = 0  # since the last piece of the body
        self._complete = self._has_length = self.reusable = False

    def send(self, request: bytes, receiver: Receiver) -> asyncio.Transport:
        """Sends a request; raises `Disconnected`."""
        self._reset()
        if self._transport is None:
            raise self.target.server.disconnected()
        self._receiver = receiver
        self._transport.write(request)
        return self._transport

    @property
    def is_usable(self) -> bool:
        """True if another request can be sent: the last one was sent whole, and its response read whole."""
        transport = self._transport
        return (
            self.reusable
            and transport is not None
            and not transport.is_closing()
            and transport.get_write_buffer_size() == 0
        )

    def close(self) -> None:
        """Ends the connection at once; the receiver is not told."""
        self.reusable = False
        self._receiver = None
        if self._transport is not None:
            self._transport.abort()

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is None:  # nobody asked
            return self.close()
        error: UpstreamError | None = None
        server = self.target.server
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.reusable = False
            if not self._complete:
                error = server.cut() if self._status else server.protocol("an answer that is not HTTP")
        self._head_bytes = 0 if self._pieces else self._head_bytes + len(data)
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            receiver.feed(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if error is not None:
            self._end(error)
        elif self._complete:
            self._end(None)
        elif self._head_bytes > _HEAD_BYTES:
            self._end(server.protocol("a head without an end" if not self._status else "headers without an end"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.reusable = False
        if not self.lost.done():
            self.lost.set_result(None)
        if not self._status:
            self._end(self.target.server.disconnected())
        elif exc is None and not self._has_length:  # the end of the connection is the end of the body
            self._end(None)
        else:
            self._end(self.target.server.cut())

    def _end(self, error: UpstreamError | None) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.end(error)

    # httptools calls these.

    def on_message_begin(self) -> None:
        if self._complete:  # more than was asked for
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._has_length |= name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 and not self._complete:  # below, it says that the answer is to come
            self._status = status
            if self._receiver is not None:
                self._receiver.head(status)

    def on_body(self, body: bytes) -> None:
        if not self._complete:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self._status and not self._complete:
            self._complete = True
            self.reusable = self._parser.should_keep_alive()  # known only here
