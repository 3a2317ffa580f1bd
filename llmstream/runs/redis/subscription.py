"""The one connection of a process that hears news: of runs that are followed here, and orders to the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from llmstream.runs.redis.connection import Link

# How long until a connection that was cut is made again, in seconds.
_PAUSE_S = 0.1


class Subscription:
    """Channels, each with what to do: `begun` once it is heard, also after a gap, and `heard` for each message.

    A message may be lost; whoever hears must notice by other means.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._channels: dict[bytes, tuple[Callable[[], None], Callable[[bytes], None]]] = {}
        self._connection: Any = None

    @property
    def connected(self) -> bool:
        """True if there is a connection over which messages come."""
        return self._connection is not None

    def add(self, channel: str, begun: Callable[[], None], heard: Callable[[bytes], None]) -> None:
        """Hears a channel from now on."""
        self._channels[channel.encode()] = (begun, heard)
        self._send("SUBSCRIBE", channel)

    def remove(self, channel: str) -> None:
        """Hears a channel no more."""
        if self._channels.pop(channel.encode(), None) is not None:
            self._send("UNSUBSCRIBE", channel)

    async def listen(self) -> None:
        """Hears messages, as long as the process lives."""
        while True:
            await self._link.wait()
            connection = self._link.connection()
            try:
                async with asyncio.timeout(self._link.timeout_s):
                    await connection.connect()
                connection.socket_timeout = None  # silence is no fault here
                self._connection = connection
                if self._channels:
                    self._send("SUBSCRIBE", *self._channels)
                while True:
                    self._heard(await connection.read_response())
            except (RedisError, OSError, TimeoutError):
                await asyncio.sleep(_PAUSE_S)
            finally:
                self._connection = None
                await connection.disconnect(nowait=True)

    async def drop(self) -> None:
        """Drops a connection over which nothing comes, so that a new one is made."""
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)

    def _heard(self, message: list[Any]) -> None:
        begun, heard = self._channels.get(message[1], (None, None))
        if message[0] == b"subscribe" and begun is not None:
            begun()
        elif message[0] == b"message" and heard is not None:
            heard(message[2])

    def _send(self, *command: Any) -> None:
        if self._connection is not None:
            self._link.spawn(_send(self._connection, command))


async def _send(connection: Any, command: tuple[Any, ...]) -> None:
    if not connection.is_connected:  # it would be dialled again, behind the back of whoever listens
        return
    try:
        await connection.send_command(*command, check_health=False)
    except (RedisError, OSError):
        await connection.disconnect(nowait=True)
