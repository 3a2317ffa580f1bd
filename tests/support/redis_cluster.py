"""A Redis Cluster of three masters, each with a replica, whose masters can be changed, killed and robbed of a slot."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from redis.crc import key_slot

from tests.support.ports import free_port
from tests.support.redis import RedisServer

_SLOTS = 2**14
_MASTERS = 3


def wait_until(is_so: Callable[[], bool]) -> None:
    """Look again and again, for at most 20 s."""
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _info(server: RedisServer) -> dict[str, str]:
    lines = server.client.execute_command("CLUSTER", "INFO").decode().split()
    return dict(line.split(":") for line in lines)


def _slots(server: RedisServer) -> list[list[int]]:
    """The ranges of slots as a server sees them: first, last, the port of the master, those of the replicas."""
    ranges = server.client.execute_command("CLUSTER", "SLOTS")
    return sorted([first, last, *(port for _, port, *_ in nodes)] for first, last, *nodes in ranges)


class RedisCluster:
    """Six servers in a folder, which fail over after a second or so."""

    def __init__(self, folder: Path) -> None:
        self._buses = [free_port() for _ in range(2 * _MASTERS)]
        # A replica to which nothing was sent yet is not listed.
        replicating = "repl-diskless-sync-delay 0", "repl-ping-replica-period 1"
        options = "cluster-enabled yes", "cluster-node-timeout 1000", *replicating
        self.servers = [RedisServer(folder, *options, f"cluster-port {bus}") for bus in self._buses]
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    def __enter__(self) -> Self:
        with ExitStack() as stack, ThreadPoolExecutor() as pool:
            for server in self.servers:
                stack.callback(server.__exit__)
            list(pool.map(RedisServer.start, self.servers))
            self._join()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _join(self) -> None:
        first, masters = self.servers[0], self.servers[:_MASTERS]
        for server, bus in zip(self.servers[1:], self._buses[1:], strict=True):
            first.client.execute_command("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        for number, master in enumerate(masters):
            bounds = (_SLOTS * number // _MASTERS, _SLOTS * (number + 1) // _MASTERS - 1)
            master.client.execute_command("CLUSTER", "ADDSLOTSRANGE", *bounds)
        wait_until(lambda: all(map(self._knows_all, self.servers)))
        for master, replica in zip(masters, self.servers[_MASTERS:], strict=True):
            replica.client.execute_command("CLUSTER", "REPLICATE", self.id_of(master))
        self.wait_until_whole()

    def id_of(self, server: RedisServer) -> str:
        """The name that the others know a server by."""
        return str(server.client.execute_command("CLUSTER", "MYID").decode())

    def mend(self) -> None:
        """Start those again that were killed; return when all is as it should be."""
        for server in self.servers:
            if not server.is_there:
                server.start()
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """Return when each master has its replica, and all have the same view of who has which slots."""
        wait_until(self._is_whole)

    def _knows_all(self, server: RedisServer) -> bool:
        return int(_info(server)["cluster_known_nodes"]) == len(self.servers)

    def _is_whole(self) -> bool:
        views = list[Any]()
        for server in self.servers:
            if not self._knows_all(server) or _info(server)["cluster_state"] != "ok":
                return False
            views.append([(first, last, master, len(replicas)) for first, last, master, *replicas in _slots(server)])
        is_up = [each.client.info("replication").get("master_link_status", "up") == "up" for each in self.servers]
        return all(is_up) and all(view == views[0] for view in views) and all(part[3] == 1 for part in views[0])

    def of(self, key: str) -> tuple[RedisServer, RedisServer]:
        """The master that has a key, and its replica."""
        by_port, slot = {server.port: server for server in self.servers}, key_slot(key.encode())
        (ports,) = (
            [master, *replicas] for first, last, master, *replicas in _slots(self.servers[0]) if first <= slot <= last
        )
        master, replica = (by_port[port] for port in ports)
        return master, replica

    def move(self, key: str) -> Iterator[None]:
        """Give the slot of a key to another master; yields when half of its keys are there."""
        source, slot = self.of(key)[0], key_slot(key.encode())
        masters = {port for _, _, port, *_ in _slots(source)}
        target = next(each for each in self.servers if each.port in masters and each is not source)
        target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))
        half = source.client.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot) // 2
        for count in (half, 10 * half):
            keys = source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, count)
            source.client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            yield
        for server in (target, source):
            server.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(target))
