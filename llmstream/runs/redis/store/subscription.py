"""The one connection of a process that hears what it is told: orders, and news of the runs that are followed here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.exceptions import RedisError

from llmstream.runs.redis.store.connection import Link

# How long until a connection that was cut is made again, in seconds.
_PAUSE_S = 0.1


class Subscription:
    """The channel of a process. `begun`: called when it is heard, also after a gap; `news`, `order`: with a message.

    A message may be lost; whoever hears must notice by other means.
    """

    def __init__(self, link: Link, channel: str) -> None:
        self.begun: Callable[[], None] = lambda: None
        self.news: Callable[[bytes], Awaitable[None]]
        self.order: Callable[[bytes], None] = lambda order: None
        self._link = link
        self._channel = channel
        self._connection: Any = None

    @property
    def connected(self) -> bool:
        """True if there is a connection over which messages come."""
        return self._connection is not None

    async def listen(self) -> None:
        """Hears messages, as long as the process lives."""
        while True:
            await self._link.wait()
            connection = self._link.connection()
            try:
                async with asyncio.timeout(self._link.timeout_s):
                    await connection.connect()
                    await connection.send_command("SUBSCRIBE", self._channel, check_health=False)
                connection.socket_timeout = None  # silence is no fault here
                self._connection = connection
                while True:
                    kind, _, message = await connection.read_response()
                    if kind != b"message":
                        self.begun()
                    elif message.startswith(b"n\n"):
                        await self.news(message[2:])
                    else:
                        self.order(message)
            except (RedisError, OSError, TimeoutError):
                await asyncio.sleep(_PAUSE_S)
            finally:
                self._connection = None
                await connection.disconnect(nowait=True)

    async def drop(self) -> None:
        """Drops a connection over which nothing comes, so that a new one is made."""
        # First, or a probe would be sent that the next connection comes too late for, and be dropped for that.
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
