"""uvicorn's HTTP protocol for strangers: waits for nobody for ever, and takes bounded memory for what they send.

Read from uvicorn 0.54 (protocols/http/httptools_impl.py) and httptools 0.9, whose callbacks these are:

- `on_header` is called for trailers too, after `on_headers_complete`, and uvicorn adds them to the request's headers.
- A header's value is gathered in memory until its line ends, wherever it stands.
- Each request that is sent before the answers to earlier ones is kept in `pipeline`, as many as one read brings.
- A request that asks for another protocol is read without its body, which is taken for the next request.
- Nothing limits the time until a head or a body is whole; `timeout_keep_alive` holds only after an answer.
- Nobody looks whether a client reads its answer: it is kept for him, and where it is whole, so is his connection.
"""

from __future__ import annotations

import sys
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llmstream.concurrency import Watchdog
from llmstream.http.stream import ABORT

# How much may wait for a client that reads slowly before its stream waits too: one write is up to 40 kB.
_UNSENT_BYTES = 16 * 1024
# The most that a request may hold before its body, or anywhere without bringing a piece of its body.
_HEAD_BYTES = 64 * 1024
# A body that comes slowly gets its time again with each of these.
_PROGRESS_BYTES = 64 * 1024
_PIPELINED = 16
_CLOSE_S = 1


def _refusal(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()


_HEAD_TOO_LARGE = _refusal("431 Request Header Fields Too Large")
_TOO_SLOW = _refusal("408 Request Timeout")
_NO_PROXY = _refusal("400 Bad Request")


class Protocol(HttpToolsProtocol):
    """Lets a response cut its connection (a plain close would wait for a client that reads nothing); limits requests.

    timeout_s: how long a request may take to come, and a connection to say something. send_timeout_s: how long a client
    may read nothing of what waits for it.
    """

    def __init__(self, *args: Any, timeout_s: float, send_timeout_s: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._timeout_s = timeout_s
        self._send_timeout_s = send_timeout_s
        self._watchdog, self._reading = Watchdog(), Watchdog()
        self._unsent_bytes, self._read_at = 0, 0.0
        self._moved_at = 0.0
        self._in_head = self._got_body = self._refused = False
        self._data = b""
        self._idle_bytes = self._body_bytes = self._seen_bytes = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=_UNSENT_BYTES)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watchdog.stop()
        self._reading.stop()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent_bytes, self._read_at = self.transport.get_write_buffer_size(), self.loop.time()
        self._reading.start(self._unread_until, self.transport.abort)

    def resume_writing(self) -> None:
        self._reading.stop()
        super().resume_writing()

    def _unread_until(self) -> float:
        """The time when a client is dropped that reads nothing more."""
        unsent = self.transport.get_write_buffer_size()
        if unsent < self._unsent_bytes:
            self._read_at = self.loop.time()
        self._unsent_bytes = unsent
        return self._read_at + self._send_timeout_s

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return  # closed at once, the client would see a reset connection and not why
        self._got_body, self._data = False, data
        super().data_received(data)
        self._idle_bytes = 0 if self._got_body else self._idle_bytes + len(data)
        if self._idle_bytes > _HEAD_BYTES:
            self._refuse(_HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= _PIPELINED:
            self.transport.abort()
            raise ValueError("too many requests at once")  # httptools stops reading
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"abort": self.transport.abort}}
        self._begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # else a trailer
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._got_body = True
        self._body_bytes += len(body)
        if self._body_bytes - self._seen_bytes >= _PROGRESS_BYTES and not self._answered:
            self._seen_bytes, self._moved_at = self._body_bytes, self.loop.time()
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._got_body = True  # what comes now is the next request's
        self._watchdog.stop()
        super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Reads a request anew as if it had not asked for another protocol: none is spoken here."""
        upgrade = sys.exc_info()[1]
        headers = [each for each in self.headers if each[0] != b"upgrade"]
        if not isinstance(upgrade, httptools.HttpParserUpgrade) or len(headers) == len(self.headers):
            return self._refuse(_NO_PROXY)  # CONNECT
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version), *map(b": ".join, headers), b"", b""]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        super().data_received(b"\r\n".join(lines) + self._data[upgrade.args[0] :])

    def _begin(self) -> None:
        """A request is to come."""
        self._in_head = True
        self._idle_bytes = self._body_bytes = self._seen_bytes = 0
        self._moved_at = self.loop.time()
        self._watchdog.start(self._due, self._expire)

    def _due(self) -> float:
        if self.flow.read_paused and not self._answered:  # for the app, which has not read what came
            self._moved_at = self.loop.time()
        return self._moved_at + self._timeout_s

    def _expire(self) -> None:
        if self._answered:
            self.transport.abort()
        else:
            self._refuse(_TOO_SLOW)

    @property
    def _answered(self) -> bool:
        """True if the request whose body comes is being answered already."""
        return not self._in_head and self.cycle is not None and self.cycle.response_started

    def _refuse(self, answer: bytes) -> None:
        self._refused = True
        if self.transport.is_closing():
            return None
        if self._answered:
            return self.transport.abort()
        self.transport.write(answer)
        self.loop.call_later(_CLOSE_S, self.transport.close)
