"""HTTP/1.1 to a model server: requests over kept connections, and bodies handed on by the read that brought them.

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

from llmstream.concurrency import questions
from llmstream.ollama.connection import Connection, Receiver
from llmstream.ollama.endpoint import Endpoint, Target, unreachable

# How long a connection that nobody uses is kept.
_KEPT_S = 30

# After how long the next of a host's addresses is tried too: "localhost" is often IPv6 first, and Ollama IPv4 alone.
_NEXT_ADDRESS_S = 0.25


@asynccontextmanager
async def request(
    endpoint: Endpoint, method: str, path: str, receiver: Receiver, *, body: bytes = b""
) -> AsyncGenerator[asyncio.Transport, None]:
    """Sends a request, whose response goes to `receiver`; yields the transport, whose reading may be paused.

    At the end of the block a connection whose response is complete is kept for the next request; any other is closed at
    once, which makes the model stop. Raises `UpstreamUnreachable`, and `SettingsError` for what can't be sent.
    """
    head = endpoint.head(method, path, len(body))
    pool = await _pool()
    connection = pool.take(endpoint.target) or await pool.connect(endpoint)
    try:
        yield connection.send(head + body, receiver)
    finally:
        pool.give(connection)


class _Pool:
    """The connections of one event loop; any number may be open."""

    def __init__(self) -> None:
        self._idle: dict[Target, list[Connection]] = {}

    def take(self, target: Target) -> Connection | None:
        """A kept connection to the target, the one that was used last; None where there is none."""
        while connections := self._idle.get(target):
            connection = connections[-1]
            self._forget(connection)
            if connection.is_usable:
                return connection
            connection.close()
        return None

    def give(self, connection: Connection) -> None:
        """Keeps a connection for a while, or closes it where it can't be used again."""
        if not connection.is_usable:
            return connection.close()
        self._idle.setdefault(connection.target, []).append(connection)
        connection.timer = asyncio.get_running_loop().call_later(
            _KEPT_S, connection.close, context=contextvars.Context()
        )

    def _forget(self, connection: Connection) -> None:
        connections = self._idle.get(connection.target, [])
        if connection in connections:
            connections.remove(connection)
            if not connections:
                del self._idle[connection.target]
        if connection.timer is not None:
            connection.timer.cancel()

    async def connect(self, endpoint: Endpoint) -> Connection:
        """A new connection; raises `UpstreamUnreachable`."""
        # In contexts of their own: the connection outlives the run that it is made for, and would keep what is in its.
        connecting = asyncio.create_task(_connect(endpoint), context=contextvars.Context())
        try:
            async with asyncio.timeout(endpoint.connect_timeout_s):
                connection = await connecting
        except BaseException as error:
            connecting.add_done_callback(_close_unwanted)
            if isinstance(error, OSError):  # as a TimeoutError is
                raise unreachable(endpoint, error) from None
            raise
        connection.lost.add_done_callback(lambda lost: self._forget(connection), context=contextvars.Context())
        return connection

    async def close(self) -> None:
        """Closes the connections that nobody uses."""
        connections = [connection for connections in self._idle.values() for connection in connections]
        for connection in connections:
            connection.close()
        await asyncio.gather(*(connection.lost for connection in connections))

    def abandon(self) -> None:
        """Closes the sockets of the connections: their event loop was closed without a word to what ran in it."""
        for connections in self._idle.values():
            for connection in connections:
                if connection.socket is not None:
                    connection.socket.close()


def _close_unwanted(connecting: asyncio.Task[Connection]) -> None:
    """Closes a connection that was made just when the task that wanted it had gone."""
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().close()


async def _connect(endpoint: Endpoint) -> Connection:
    loop, target = asyncio.get_running_loop(), endpoint.target
    context = await _tls_context(target.tls) if target.scheme == "https" else None
    addresses = await _resolve(target.host, target.port)
    sock = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_S, loop=loop)
    _, connection = await loop.create_connection(
        lambda: Connection(target), sock=sock, ssl=context, server_hostname=target.host if context else None
    )
    connection.socket = sock
    return connection


async def _resolve(host: str, port: int) -> list[Any]:
    """The addresses of a host; for a host that is an address itself without a thread, of which none may be free."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await questions.run(socket.getaddrinfo, host, port, 0, socket.SOCK_STREAM)


_tls_contexts: dict[bool, ssl.SSLContext] = {}


async def _tls_context(tls: bool | ssl.SSLContext) -> ssl.SSLContext:
    """The TLS context for `tls`; loading the system's certificates takes 50 ms, so once and in a thread."""
    if isinstance(tls, ssl.SSLContext):
        return tls
    if tls not in _tls_contexts:
        _tls_contexts[tls] = await questions.run(_new_tls_context, tls)
    return _tls_contexts[tls]


def _new_tls_context(tls: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


# Each with the generator that closes it.
_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[_Pool, AsyncGenerator[_Pool, None]]]
_pools = weakref.WeakKeyDictionary()


async def _pool() -> _Pool:
    """The running loop's connections, closed when the loop shuts down its generators."""
    loop = asyncio.get_running_loop()
    if loop not in _pools:
        _forget_closed()
        keeper = _keep_pool()
        _pools[loop] = await anext(keeper), keeper
    return _pools[loop][0]


def _forget_closed() -> None:
    """Lets go of loops that were closed without `shutdown_asyncgens`: a pool holds its loop, so no collector would."""
    for loop in [loop for loop in _pools if loop.is_closed()]:
        pool, _ = _pools.pop(loop)
        pool.abandon()


async def _keep_pool() -> AsyncGenerator[_Pool, None]:
    """Yields connections that live as long as this generator: `asyncio.run` and its like close open generators.

    So a script that never heard of the connections leaves none unclosed.
    """
    pool = _Pool()
    try:
        yield pool
    finally:
        _pools.pop(asyncio.get_running_loop(), None)
        await pool.close()
