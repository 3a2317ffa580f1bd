"""The connections into a Redis Cluster: all names of a deployment share a slot, so one node at a time has them all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterDownError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

# The answers of a node that is not the master of a name, of all names in a call, or of a whole cluster.
ELSEWHERE = ReadOnlyError, AskError, TryAgainError, ClusterDownError

Address = tuple[str, int]


class ClusterConnections:
    """The connections to the master that has `key`, which each of them looks for when it is made.

    seeds: some nodes of the cluster; those that they know are asked, too. options: of connections to any node.
    redis-py's own client maps all 16384 slots at each look, which holds up the loop, and keeps why a node refused.
    """

    def __init__(self, seeds: Sequence[Address], *, key: str, tls: bool, options: dict[str, Any]) -> None:
        self._seeds = seeds
        self._known: set[Address] = set()
        self._slot = key_slot(key.encode())
        self._options = options
        # As for Sentinels: a node that is silent must leave time for others.
        self._timeout_s = options["socket_connect_timeout"] / 4
        self._to_node = SSLConnection if tls else Connection
        self._to_master = _TlsMasterConnection if tls else _MasterConnection

    def make_connection(self) -> Connection:
        """A new connection, not yet connected, as that of a pool."""
        return self._to_master(self, **self._options)

    async def find(self) -> Address:
        """The address of the master, as the first node that answers has it; raises what redis-py does."""
        errors = list[Exception]()
        nodes = list({*self._seeds, *self._known})
        random.shuffle(nodes)
        for node in nodes:
            try:
                ranges = await self._ranges(*node)
            except (RedisError, OSError, TimeoutError) as error:
                errors.append(error)
                continue
            self._known = {address for _, _, addresses in ranges for address in addresses}
            for first, last, (master, *_) in ranges:
                if first <= self._slot <= last:
                    return master
            errors.append(ResponseError(f"no node of the cluster has slot {self._slot}, that of redis_prefix"))
        errors.sort(key=lambda error: isinstance(error, ResponseError | AuthenticationError))  # what is said, if any is
        raise errors[-1]

    async def _ranges(self, host: str, port: int) -> list[tuple[int, int, list[Address]]]:
        """The ranges of slots as a node knows them: first, last, the addresses of the master and of its replicas."""
        connection = self._to_node(host=host, port=port, **self._options)
        try:
            async with asyncio.timeout(self._timeout_s):
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_command("CLUSTER", "SLOTS", check_health=False)
                ranges = await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)
        # A node that does not know its own name leaves that out.
        return [
            (first, last, [((name or b"").decode() or host, int(port)) for name, port, *_ in nodes])
            for first, last, *nodes in ranges
        ]


class _MasterConnection(Connection):
    """A connection to whichever node is the right one when it connects."""

    def __init__(self, cluster: ClusterConnections, **options: Any) -> None:
        self._cluster = cluster
        super().__init__(**options)

    async def connect(self) -> None:
        if not self.is_connected:
            self.host, self.port = await self._cluster.find()
        await super().connect()  # type: ignore[no-untyped-call]


class _TlsMasterConnection(_MasterConnection, SSLConnection):
    """One with TLS."""
