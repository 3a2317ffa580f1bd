"""Connections to whichever server the Sentinels name as the master; they leave the old one as soon as there is another.

An old master that still lives does not know for seconds that it is the master no more, and takes what it is sent. Who
stays with it writes what will be thrown away, and seems dead to whoever is with the new one, as those do to it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from llmstream.runs.redis.store.connection import Link

logger = logging.getLogger("llmstream")


class MasterConnections(SentinelConnectionPool):
    """Makes connections to the master, and knows them as long as they are there."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        self._made: WeakSet[Any] = WeakSet()
        self._asking = asyncio.Lock()
        self._on_other: Callable[[], None] = lambda: None

    def make_connection(self) -> Any:
        connection = super().make_connection()  # type: ignore[no-untyped-call]
        self._made.add(connection)
        return connection

    async def get_master_address(self) -> Any:
        """The address of the master; cuts the connections to one that is it no more, whoever asks."""
        # redis-py moves the Sentinel that answered to the front of its list; two that do so at once lose another one.
        async with self._asking:
            try:
                master = await super().get_master_address()  # type: ignore[no-untyped-call]
            finally:
                # It sends by `asyncio.wait_for`, which in Python 3.11 may swallow a cancellation: nothing would end.
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise asyncio.CancelledError
            old = [each for each in self._made if each.is_connected and (each.host, each.port) != master]
            for connection in old:
                await connection.disconnect(nowait=True)
        if old:
            self._on_other()
        return master

    async def aclose(self) -> None:
        await super().aclose()
        for client in self.sentinel_manager.sentinels:
            await client.aclose()

    async def follow(self, link: Link, period_s: float) -> None:
        """Asks for the master again and again, and has everything compared with what another one has."""
        now = asyncio.get_running_loop().time
        link.up_since = now()  # who is missing here may be with another server still

        def compare() -> None:
            if link.up:  # else that is done when it is back
                logger.warning("the store at %s has another master", link.address)
                link.up_since = now()
                for each in link.on_up:
                    each()

        self._on_other = compare
        while True:
            await asyncio.sleep(period_s)
            with suppress(RedisError, OSError, TimeoutError):
                await self.get_master_address()
