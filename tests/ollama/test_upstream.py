"""HTTP to Ollama: over TLS, through proxies, and whatever a server does with the protocol."""

from __future__ import annotations

import asyncio
import base64
import gc
import socket
import ssl
import subprocess
import sys
import weakref
from contextlib import suppress
from typing import Any

import pytest

from llmstream.errors import (
    LlmstreamError,
    SettingsError,
    UpstreamError,
    UpstreamProtocol,
    UpstreamStalled,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from llmstream.ollama.chat import read_chat
from llmstream.ollama.chunks import Chunk
from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.models import Ollama
from tests.support import DATA
from tests.support.answering import Script, raw_server
from tests.support.reading import BODY, response, sending

# For localhost, made for these tests alone.
PEM = DATA / "tls" / "localhost.pem"
LINE = b'{"message":{"content":"a"},"done":true,"done_reason":"stop"}\n'
WHOLE = response(LINE)


async def answer(connection: Endpoint) -> str | type[LlmstreamError]:
    """The text of an answer, or the kind of the error it ended with."""
    chunks: list[Chunk] = []
    try:
        await read_chat(connection, BODY, chunks.extend)
    except LlmstreamError as error:
        return type(error)
    return "".join(chunk.message.content or "" for chunk in chunks if chunk.message)


def server_tls() -> ssl.SSLContext:
    """What a server for localhost encrypts with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    return context


async def test_tls() -> None:
    """A certificate must be a trusted one, unless somebody said that none is checked; a connection serves again."""
    trusting = ssl.create_default_context(cafile=str(PEM))
    async with raw_server(sending(WHOLE), tls=server_tls()) as (url, counts):
        answers = [await answer(Endpoint(url=url, tls=tls)) for tls in (trusting, trusting, False, True)]

    assert ["a", "a", "a", UpstreamUnreachable] == answers
    assert [2, 1] == counts[:2]


@pytest.mark.parametrize("wrong", [{"headers": {"x": "a\r\nInjected: b"}}, {"cookies": {"a": "b\n"}}])
async def test_what_can_not_be_sent(wrong: dict[str, Any]) -> None:
    """A header that would be two is refused, and nothing is sent."""
    async with raw_server(sending(WHOLE)) as (url, counts):
        assert await answer(Endpoint(url=url, **wrong)) is SettingsError

    assert [] == counts


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://a..b", "http://host:99999", "ftp://host"])
async def test_what_is_no_address(url: str) -> None:
    """It is told as that."""
    with pytest.raises(UpstreamUnreachable, match="is not an address"):
        await read_chat(Endpoint(url=url), BODY, print)


async def test_a_name_of_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is served on one of its addresses alone, as localhost often is, is reached there."""

    def resolve(host: str, port: int, *rest: Any, **more: Any) -> list[Any]:
        assert "ollama.test" == host
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    async with raw_server(sending(WHOLE)) as (url, _):
        monkeypatch.setattr("socket.getaddrinfo", resolve)
        assert "a" == await answer(Endpoint(url=url.replace("127.0.0.1", "ollama.test")))


async def test_user_of_the_address_unless_a_header_says_otherwise() -> None:
    """A name and password in the address are sent, and never shown, in no error either."""
    heads: list[str] = []
    async with raw_server(sending(WHOLE), heads=heads) as (url, _):
        url = url.replace("//", "//ann:p%3A@")
        await answer(Endpoint(url=url))
        await answer(Endpoint(url=url, headers={"authorization": "Bearer b"}))

    wanted = [f"Authorization: Basic {base64.b64encode(b'ann:p:').decode()}", "Authorization: Bearer b"]
    assert wanted == [line for head in heads for line in head.split("\r\n") if line.startswith("Authorization")]
    assert "ann" not in Endpoint(url=url).shown_url
    with pytest.raises(UpstreamUnreachable, match=r"http://127\.0\.0\.1:9\."):
        await read_chat(Endpoint(url="http://ann:p@127.0.0.1:9"), BODY, print)


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
IN_CHUNKS = CHUNKED + b"5;x=y\r\n%s\r\n%x\r\n%s\r\n0\r\nT: a\r\n\r\n" % (LINE[:5], len(LINE[5:]), LINE[5:])


@pytest.mark.parametrize(
    ("script", "said", "counts"),
    [
        (sending(b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE), "a", [2]),
        (sending(b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + WHOLE), "a", [2]),
        (sending(HEAD + b"\r\n" + LINE, then=lambda writer: writer.close()), "a", [1, 1]),
        (sending(b"HTTP/1.0 200 OK\r\n\r\n" + LINE, then=lambda writer: writer.close()), "a", [1, 1]),
        (sending(HEAD + b"\r\n" + LINE[:20], then=lambda writer: writer.close()), UpstreamProtocol, [1, 1]),
        (sending(WHOLE.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")), "a", [1, 1]),
        (sending(WHOLE + WHOLE), "a", [1, 1]),
        (sending(WHOLE + b"what is this"), "a", [1, 1]),
        (sending(IN_CHUNKS), "a", [2]),
        (sending(CHUNKED + b"zz\r\n"), UpstreamTruncated, [1, 1]),
        (sending(response(b"\n\n")), UpstreamProtocol, [2]),
        (sending(response(b"[" * 60_000 + b"\n")), UpstreamProtocol, [2]),
        (sending(response(b"[" * 60_000, status="500 Internal Server Error")), UpstreamProtocol, [2]),
        (
            sending(HEAD.replace(b"200 OK", b"101 Switching Protocols") + b"Upgrade: x\r\n\r\n"),
            UpstreamProtocol,
            [1, 1],
        ),
        (sending(HEAD + b"X: " + b"x" * 200_000), UpstreamProtocol, [1, 1]),
        (sending(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"), UpstreamProtocol, [1, 1]),
        (sending(CHUNKED + b"0\r\nX: " + b"x" * 200_000), UpstreamProtocol, [1, 1]),
    ],
    ids=[
        "continue",
        "early hints",
        "until the end of the connection",
        "HTTP/1.0",
        "half a line until the end",
        "connection: close",
        "two answers",
        "surplus",
        "trailers",
        "no length of a chunk",
        "empty lines",
        "a line nested too deeply",
        "an error nested too deeply",
        "another protocol",
        "head without end",
        "two lengths",
        "trailer without end",
    ],
)
async def test_responses(script: Script, said: str | type[LlmstreamError], counts: list[int]) -> None:
    """Every form of a response is read, or told as what it is; a connection in doubt is not used again."""
    async with raw_server(script) as (url, found):
        answers = [await answer(Endpoint(url=url)) for _ in range(2)]

    assert [said, said] == answers
    assert counts == found


async def test_who_speaks_unasked_is_not_asked_again() -> None:
    """Bytes that come while nobody waits for any would be taken for the next answer."""
    writers: list[asyncio.StreamWriter] = []

    async def script(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(WHOLE)
        writers.append(writer)

    async with raw_server(script) as (url, counts):
        assert "a" == await answer(Endpoint(url=url))
        writers[0].write(WHOLE)
        with suppress(ConnectionError):
            async with asyncio.timeout(10):  # a connection that is merely idle is kept for longer
                await writers[0].wait_closed()
        assert "a" == await answer(Endpoint(url=url))

    assert [1, 1] == counts


async def test_an_error_whose_text_does_not_end() -> None:
    """A refusal is told though its text goes on for ever, or stops in the middle."""
    refused = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 100000000\r\n\r\n"
    async with raw_server(sending(refused + b" " * 100_000)) as (url, _):
        assert await answer(Endpoint(url=url)) is UpstreamProtocol
    async with raw_server(sending(refused + b'{"error"')) as (url, _):
        assert await answer(Endpoint(url=url)) is UpstreamProtocol


async def test_what_the_receiver_raises_ends_the_request() -> None:
    """It reaches the caller, and the connection is closed."""

    def refuse(chunks: list[Chunk]) -> None:
        raise LookupError("no more")

    async with raw_server(sending(CHUNKED + b"%x\r\n" % len(LINE) + LINE + b"\r\n")) as (url, counts):
        for _ in range(2):
            with pytest.raises(LookupError):
                await read_chat(Endpoint(url=url), BODY, refuse)

    assert [1, 1] == counts


async def test_silence_after_some_bytes_of_a_line() -> None:
    """Bytes without a line's end are no token, but they are a sign: the limit counts from the last of them."""
    sent = HEAD + b"Content-Length: 1000\r\n\r\n" + LINE.replace(b"true", b"false") + LINE[:10]
    async with raw_server(sending(sent)) as (url, _):
        assert await answer(Endpoint(url=url, token_timeout_s=0.1)) is UpstreamStalled


def test_connections_are_closed_with_their_loop(upstream: Any) -> None:
    """A script that never heard of connections leaves none unclosed, on either loop."""
    code = f"""
import asyncio, sys, llmstream
from llmstream.settings import Settings
async def main():
    settings = Settings(ollama_url={upstream.url!r}, model="demo:one-chunk")
    async for piece in llmstream.astream("hi", settings=settings): pass
asyncio.run(main())
if sys.platform != "win32":
    import uvloop
    uvloop.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ("", 0) == (done.stderr, done.returncode)


async def test_a_body_that_was_not_read_is_not_followed_by_another() -> None:
    """Where a server answers before it has read the request, the next request goes over another connection."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response(b'{"error":"unauthorized"}', status="401 Unauthorized"))

    large = {**BODY, "messages": [{"role": "user", "content": "a" * 50_000_000}]}
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        connection = Endpoint(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", first_token_timeout_s=20)
        for body in (large, BODY):
            with pytest.raises(UpstreamError, match="status 401"):
                await read_chat(connection, body, print)
        for writer in writers:
            writer.transport.abort()

    assert 2 == len(writers)


async def test_nothing_is_kept_of_a_request_that_found_nobody() -> None:
    """Neither a timer nor what it holds."""

    def receive(chunks: list[Chunk]) -> None:
        """Is never called."""

    kept = weakref.ref(receive)
    with pytest.raises(UpstreamUnreachable):
        await read_chat(Endpoint(url="http://127.0.0.1:9"), BODY, receive)
    del receive
    gc.collect()

    assert kept() is None


async def test_version_after_a_restart() -> None:
    """A kept connection that is being closed is no sign that nobody answers."""

    async def script(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(response(b'{"version":"1"}', kind="application/json"))
        if next(closing):
            writer.close()

    closing = iter([True, False, True, True])
    async with raw_server(script) as (url, _):
        versions = [await Ollama(Endpoint(url=url)).version() for _ in range(4)]

    assert ["1"] * 4 == versions
