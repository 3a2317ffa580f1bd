"""A client that costs little: blocking sockets, bytes counted and not parsed."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

_END = b"0\r\n\r\n"


def request_bytes(question: str, path: str = "/stream") -> bytes:
    """A POST request that asks this question."""
    return post_bytes(path, {"question": question})


def post_bytes(path: str, fields: object) -> bytes:
    """A POST request with a JSON body."""
    body = json.dumps(fields).encode()
    headers = f"host: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return f"POST {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode() + body


def get_bytes(path: str) -> bytes:
    """A GET request."""
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()


@contextmanager
def connect(port: int) -> Iterator[socket.socket]:
    """A connection; 60 seconds of silence raise TimeoutError."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def drain(connection: socket.socket) -> int:
    """Read a chunked response to its end; how many bytes it was long."""
    buffer = bytearray(2**20)
    size, end = 0, b""
    while end != _END:
        got = connection.recv_into(buffer)
        if not got:
            raise ConnectionError(f"the response broke off after {size} bytes")
        size += got
        end = (end + bytes(buffer[max(0, got - 5) : got]))[-5:]
    return size


def read_until(connection: socket.socket, wanted: bytes) -> bytes:
    """Read until these bytes have come; everything that came."""
    got = b""
    while wanted not in got:
        data = connection.recv(2**16)
        if not data:
            raise ConnectionError(f"the response ended without {wanted!r}: {got[-300:]!r}")
        got += data
    return got
