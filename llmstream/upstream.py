"""HTTP/1.1 to Ollama: requests over connections that serve again, and bodies handed on by the read that brought them.

httptools parses. A general client keeps a body until a task has been woken for it; where tokens come one by one, that
costs more than all that is done with the token.
"""

from __future__ import annotations

import asyncio
import contextvars
import socket
import ssl
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Protocol, cast

import aiohappyeyeballs
import httptools

from llmstream.chunks import not_ollama
from llmstream.connection import Connection, Target, unreachable
from llmstream.errors import UpstreamError, UpstreamTruncated, UpstreamUnreachable

# How long a connection that nobody uses is kept.
_KEPT_S = 30
# Ollama's head has a few hundred bytes.
_HEAD_BYTES = 64 * 2**10
# After how long the next of a host's addresses is tried too: "localhost" is often IPv6 first, and Ollama IPv4 alone.
_NEXT_ADDRESS_S = 0.25


class Disconnected(UpstreamUnreachable):
    """The connection ended before an answer began: Ollama was restarted or killed, so asking once more may help."""


class Receiver(Protocol):
    """Takes a response, in the loop's own callbacks: nothing here may raise or take long."""

    def head(self, status: int) -> None:
        """The status, before the body."""

    def feed(self, data: bytes) -> None:
        """What one read of the socket brought of the body."""

    def end(self, error: UpstreamError | None) -> None:
        """The response is complete, or will never be; called once, unless the request is left before."""


@asynccontextmanager
async def asked(
    connection: Connection, method: str, path: str, receiver: Receiver, *, body: bytes = b""
) -> AsyncGenerator[asyncio.Transport, None]:
    """Send a request, whose response goes to `receiver`; what it comes over, whose reading may be paused.

    At the end of the block a connection whose response is complete is kept for the next request; any other is closed at
    once, which makes Ollama stop. Raises `UpstreamUnreachable`, and `SettingsError` for what can't be sent.
    """
    head = connection.head(method, path, len(body))
    pool = await _pool()
    link = pool.take(connection.target) or await pool.connect(connection)
    try:
        yield link.ask(head + body, receiver)
    finally:
        pool.give(link)


class _Link(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.lost = asyncio.get_running_loop().create_future()
        self.timer: asyncio.TimerHandle | None = None
        self.reusable = False
        self._transport: asyncio.Transport | None = None
        self._receiver: Receiver | None = None
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._head_bytes = self._status = 0
        self._complete = self._has_length = self.reusable = False

    def ask(self, request: bytes, receiver: Receiver) -> asyncio.Transport:
        """Send a request; raises `Disconnected`."""
        self._begin()
        if self._transport is None:
            raise _disconnected()
        self._receiver = receiver
        self._transport.write(request)
        return self._transport

    @property
    def is_usable(self) -> bool:
        """Whether another request can be sent: the last one was sent whole, and its response read whole."""
        transport = self._transport
        return (
            self.reusable
            and transport is not None
            and not transport.is_closing()
            and transport.get_write_buffer_size() == 0
        )

    def close(self) -> None:
        """End the connection at once; the receiver hears no more."""
        self.reusable = False
        self._receiver = None
        if self._transport is not None:
            self._transport.abort()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """From now on speak TLS with the target."""
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(self._open, self, context, server_hostname=self.target.host)
        if transport is None:
            raise ConnectionError("the connection was closed")
        self._transport = transport

    @property
    def _open(self) -> asyncio.Transport:
        if self._transport is None:
            raise ConnectionError("the connection was closed")
        return self._transport

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is None:  # nobody asked
            return self.close()
        error: UpstreamError | None = None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.reusable = False
            if not self._complete:
                error = _cut() if self._status else not_ollama("an answer that is not HTTP")
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            receiver.feed(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if error is not None:
            self._over(error)
        elif self._complete:
            self._over(None)
        elif not self._status:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES:
                self._over(not_ollama("a head without an end"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.reusable = False
        if not self.lost.done():
            self.lost.set_result(None)
        if not self._status:
            self._over(_disconnected())
        elif exc is None and not self._has_length:  # the end of the connection is the end of the body
            self._over(None)
        else:
            self._over(_cut())

    def _over(self, error: UpstreamError | None) -> None:
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


def _disconnected() -> Disconnected:
    return Disconnected("Ollama closed the connection without an answer. Ask again.")


def _cut() -> UpstreamTruncated:
    return UpstreamTruncated("The answer broke off: the connection to Ollama was cut.")


class _Pool:
    """The connections of one event loop; any number may be open."""

    def __init__(self) -> None:
        self._idle: dict[Target, list[_Link]] = {}

    def take(self, target: Target) -> _Link | None:
        """A connection that serves again, the one that was used last."""
        while links := self._idle.get(target):
            link = links[-1]
            self._forget(link)
            if link.is_usable:
                return link
            link.close()
        return None

    def give(self, link: _Link) -> None:
        """Keep a connection for a while, or close it where it can't serve again."""
        if not link.is_usable:
            return link.close()
        self._idle.setdefault(link.target, []).append(link)
        link.timer = asyncio.get_running_loop().call_later(_KEPT_S, link.close, context=contextvars.Context())

    def _forget(self, link: _Link) -> None:
        links = self._idle.get(link.target, [])
        if link in links:
            links.remove(link)
            if not links:
                del self._idle[link.target]
        if link.timer is not None:
            link.timer.cancel()

    async def connect(self, connection: Connection) -> _Link:
        """A new connection; raises `UpstreamUnreachable`."""
        # In contexts of their own: the connection outlives the run that it is made for, and would keep what is in its.
        connecting = asyncio.create_task(_connect(connection), context=contextvars.Context())
        try:
            async with asyncio.timeout(connection.connect_timeout_s):
                link = await connecting
        except BaseException as error:
            connecting.add_done_callback(_close_unwanted)
            if isinstance(error, OSError):  # as a TimeoutError is
                raise unreachable(connection) from error
            raise
        link.lost.add_done_callback(lambda lost: self._forget(link), context=contextvars.Context())
        return link

    async def close(self) -> None:
        """Close the connections that nobody uses."""
        links = [link for links in self._idle.values() for link in links]
        for link in links:
            link.close()
        await asyncio.gather(*(link.lost for link in links))


def _close_unwanted(connecting: asyncio.Task[_Link]) -> None:
    """A connection that was there just when nobody wanted it any more."""
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().close()


async def _connect(connection: Connection) -> _Link:
    loop, target = asyncio.get_running_loop(), connection.target
    host, port = target.reached_at
    context = await _tls_context(target.tls) if target.scheme == "https" else None
    addresses = await _resolve(host, port)
    sock = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_S, loop=loop)
    if context is None or target.proxy is not None:
        _, link = await loop.create_connection(lambda: _Link(target), sock=sock)
    else:
        _, link = await loop.create_connection(lambda: _Link(target), sock=sock, ssl=context, server_hostname=host)
    if context is not None and target.proxy is not None:
        try:
            await _tunnel(link, target, context)
        except BaseException:
            link.close()
            raise
    return link


async def _resolve(host: str, port: int) -> list[Any]:
    """The addresses of a host; for one that is an address itself without a thread, of which none may be free."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


_tls_contexts: dict[bool, ssl.SSLContext] = {}


async def _tls_context(tls: bool | ssl.SSLContext) -> ssl.SSLContext:
    """What checks certificates as asked; loading the system's takes 50 ms, so once and in a thread."""
    if isinstance(tls, ssl.SSLContext):
        return tls
    if tls not in _tls_contexts:
        _tls_contexts[tls] = await asyncio.to_thread(_new_tls_context, tls)
    return _tls_contexts[tls]


def _new_tls_context(tls: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _tunnel(link: _Link, target: Target, context: ssl.SSLContext) -> None:
    """Have the proxy lead to the server, and speak TLS with that one."""
    answer = _Status()
    link.ask(target.tunnel_head(), answer)
    if (status := await answer.status) != 200:
        raise ConnectionError(f"the proxy answered with status {status}")
    await link.start_tls(context)


class _Status:
    """A receiver of nothing but the status, 0 where none comes."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def head(self, status: int) -> None:
        """See `Receiver`."""
        if not self.status.done():
            self.status.set_result(status)

    def feed(self, data: bytes) -> None:
        """See `Receiver`."""

    def end(self, error: UpstreamError | None) -> None:
        """See `Receiver`."""
        self.head(0)


_keepers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[_Pool, None]]
_keepers = weakref.WeakKeyDictionary()
_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool]
_pools = weakref.WeakKeyDictionary()


async def _pool() -> _Pool:
    """The running loop's connections, closed when the loop shuts down its generators."""
    loop = asyncio.get_running_loop()
    pool = _pools.get(loop)
    if pool is None:
        _keepers[loop] = keeper = _keep_pool()
        _pools[loop] = pool = await anext(keeper)
    return pool


async def _keep_pool() -> AsyncGenerator[_Pool, None]:
    """Connections for as long as this generator lives: `asyncio.run` and its like close open generators at the end.

    So a script that never heard of the connections leaves none unclosed.
    """
    pool = _Pool()
    try:
        yield pool
    finally:
        _pools.pop(asyncio.get_running_loop(), None)
        _keepers.pop(asyncio.get_running_loop(), None)
        await pool.close()
