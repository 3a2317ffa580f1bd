"""What anybody may send to the server, or not send, takes bounded memory and time."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest
from fastapi import FastAPI, Request

from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.holding import LIMIT_S, speak
from tests.support.serving import Serve, get

HEAD = b"POST /echo HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


def echoing(**changes: object) -> FastAPI:
    """An app that tells the headers it has seen once the body was read."""
    app = create_app(Settings(demo="never", token=None).change(**changes), chain=lambda question: question)

    @app.post("/echo")
    async def echo(request: Request) -> list[str]:
        await request.body()
        return [name for name, _ in request.headers.items()]

    return app


def test_trailers_are_no_headers(serve: Serve) -> None:
    """What comes after the body does not say who the caller is."""
    url = serve(echoing()).url
    answer = speak(url, CHUNKED + b"2\r\n{}\r\n0\r\nx-user: admin\r\nauthorization: Bearer x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"x-user" not in answer
    assert b"authorization" not in answer


@pytest.mark.parametrize("begun", [b"2\r\n{}\r\n0\r\n", b"2\r\n{}\r\n0\r\nx: ", b"2;"])
def test_endless_trailers(serve: Serve, begun: bytes) -> None:
    """A connection that goes on without a piece of a body is closed, and the server goes on."""
    url = serve(echoing()).url
    host, port = url.removeprefix("http://").split(":")
    filler = b"a: b\r\n" * 8000 if begun.endswith(b"0\r\n") else b"a" * 48_000
    with socket.create_connection((host, int(port)), timeout=LIMIT_S) as connection:
        connection.sendall(CHUNKED + begun)
        with pytest.raises(OSError):
            for _ in range(100_000):
                connection.sendall(filler)
    assert 200 == get(f"{url}/health").status_code


@pytest.mark.parametrize(
    "data", [b"", b"GET / HT", HEAD, HEAD + b"content-length: 9\r\n\r\nx", CHUNKED + b"1\r\nx\r\n"]
)
def test_request_that_does_not_come(serve: Serve, data: bytes) -> None:
    """A head, a body or a word that does not come is let go after a time, with a status that says so."""
    url = serve(echoing(request_timeout_s=0.3)).url
    assert b"HTTP/1.1 408 Request Timeout" == speak(url, data, timeout_s=LIMIT_S).partition(b"\r\n")[0]


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"tls/1.0"])
@pytest.mark.parametrize("pause", [True, False])
def test_request_that_asks_for_another_protocol(serve: Serve, protocol: bytes, pause: bool) -> None:
    """It is answered as if it had not, as Java expects: with its body, which is no request of its own."""
    url = serve(echoing()).url
    head = HEAD.replace(b"close", b"upgrade") + b"upgrade: %b\r\n" % protocol
    body = b"POST /echo HTTP/1.1\r\nhost: localhost\r\nx-inner: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    asks = head + b"content-length: %d\r\n\r\n" % len(body)
    last = HEAD + b"x-last: 1\r\ncontent-length: 0\r\n\r\n"
    answer = speak(url, asks, body + last) if pause else speak(url, asks + body + last)
    assert 2 == answer.count(b"HTTP/1.1 200")
    assert [False, True] == [name in answer for name in (b"x-inner", b"x-last")]


def test_request_for_a_tunnel(serve: Serve) -> None:
    """A server is no proxy."""
    url = serve(echoing()).url
    for target in (b"localhost:80", b"/echo"):
        asks = b"CONNECT %b HTTP/1.1\r\nhost: localhost\r\n\r\n" % target
        assert speak(url, asks + asks).startswith(b"HTTP/1.1 400")


def test_request_that_takes_its_time(serve: Serve) -> None:
    """A stream may go on for longer than a request may take to come, and a connection serves again."""
    url = serve(echoing(request_timeout_s=0.3)).url
    whole = HEAD.replace(b"close", b"keep-alive") + b"content-length: 2\r\n\r\n{}"
    answer = speak(url, whole + whole.replace(b"keep-alive", b"close"))
    assert 2 == answer.count(b"HTTP/1.1 200")


def test_too_many_requests_at_once(serve: Serve) -> None:
    """Requests that are sent before the answers to earlier ones are not kept without end."""
    url = serve(echoing()).url
    with pytest.raises(OSError):
        speak(url, (b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n" * 100_000))
    assert 200 == get(f"{url}/health").status_code


@pytest.mark.skipif(sys.platform == "win32", reason="a shell sets the limit")
def test_silent_connections_shut_nobody_out() -> None:
    """More connections than the usual number of open files, none of which says a word: others are served."""
    script = f'ulimit -Sn 256; exec "{sys.executable}" -m llmstream serve --demo --port 0'
    process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        address = re.search(r"http://([\d.]+):(\d+)", process.stdout.readline())
        assert address is not None
        with ExitStack() as stack:
            for _ in range(400):
                stack.enter_context(socket.create_connection((address[1], int(address[2])), timeout=LIMIT_S))
            assert 200 == get(f"{address[0]}/health").status_code
    finally:
        process.stdout.close()
        process.kill()
        process.wait()
