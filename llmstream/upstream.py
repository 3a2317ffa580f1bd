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
from typing import Any

import aiohappyeyeballs

from llmstream.connection import Connection, Target, unreachable
from llmstream.errors import UpstreamError
from llmstream.link import Link, Receiver

# How long a connection that nobody uses is kept.
_KEPT_S = 30
# After how long the next of a host's addresses is tried too: "localhost" is often IPv6 first, and Ollama IPv4 alone.
_NEXT_ADDRESS_S = 0.25


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


class _Pool:
    """The connections of one event loop; any number may be open."""

    def __init__(self) -> None:
        self._idle: dict[Target, list[Link]] = {}

    def take(self, target: Target) -> Link | None:
        """A connection that serves again, the one that was used last."""
        while links := self._idle.get(target):
            link = links[-1]
            self._forget(link)
            if link.is_usable:
                return link
            link.close()
        return None

    def give(self, link: Link) -> None:
        """Keep a connection for a while, or close it where it can't serve again."""
        if not link.is_usable:
            return link.close()
        self._idle.setdefault(link.target, []).append(link)
        link.timer = asyncio.get_running_loop().call_later(_KEPT_S, link.close, context=contextvars.Context())

    def _forget(self, link: Link) -> None:
        links = self._idle.get(link.target, [])
        if link in links:
            links.remove(link)
            if not links:
                del self._idle[link.target]
        if link.timer is not None:
            link.timer.cancel()

    async def connect(self, connection: Connection) -> Link:
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


def _close_unwanted(connecting: asyncio.Task[Link]) -> None:
    """A connection that was there just when nobody wanted it any more."""
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().close()


async def _connect(connection: Connection) -> Link:
    loop, target = asyncio.get_running_loop(), connection.target
    host, port = target.reached_at
    context = await _tls_context(target.tls) if target.scheme == "https" else None
    addresses = await _resolve(host, port)
    sock = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_S, loop=loop)
    if context is None or target.proxy is not None:
        _, link = await loop.create_connection(lambda: Link(target), sock=sock)
    else:
        _, link = await loop.create_connection(lambda: Link(target), sock=sock, ssl=context, server_hostname=host)
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


async def _tunnel(link: Link, target: Target, context: ssl.SSLContext) -> None:
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
