"""A Redis with a replica, and three Sentinels that make the replica the master where the master is gone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.redis import RedisServer

# How often Sentinels look and tell each other what they know, in ms. An old master that is there is told that it is one
# no more after four times the last.
_HURRY = ("PING-PERIOD", 300, "INFO-PERIOD", 200, "PUBLISH-PERIOD", 750)


class Watched:
    """Two servers, one of which is the master, and their Sentinels."""

    def __init__(self, servers: list[RedisServer], sentinels: list[RedisServer]) -> None:
        self._servers = servers
        self._sentinels = sentinels
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
        self.url = f"redis+sentinel://{hosts}/main"

    @property
    def master(self) -> RedisServer:
        """The server that is the master for two of the Sentinels at least."""
        while True:
            named = [int(each.client.sentinel_get_master_addr_by_name("main")[1]) for each in self._sentinels]
            for server in self._servers:
                if named.count(server.port) > 1:
                    return server
            time.sleep(0.02)

    def other(self, server: RedisServer) -> RedisServer:
        """The one that is not this one."""
        return next(each for each in self._servers if each is not server)

    def fail_over(self) -> None:
        """Have the Sentinels make the replica the master, while the old one lives; refused where that can't be now."""
        self._sentinels[0].client.sentinel_failover("main")

    def restart(self) -> None:
        """Kill the master, and start it again with what it has written."""
        master = self.master
        master.kill()
        master.start()

    def wait_until_alone(self) -> None:
        """Fail unless everybody lets go of them, and hears nothing more."""
        for server in self._servers:
            server.wait_until_alone("sentinel-")
            assert [b"__sentinel__:hello"] == server.client.pubsub_channels()

    def wait_until_whole(self) -> None:
        """Wait until every Sentinel knows the others and the replica, which has all that the master has."""
        deadline = time.monotonic() + 30
        while not self._is_whole():
            assert time.monotonic() < deadline, [each.client.sentinel_master("main") for each in self._sentinels]
            time.sleep(0.05)

    def _is_whole(self) -> bool:
        states = [each.client.sentinel_master("main") for each in self._sentinels]
        slaves = self._sentinels[0].client.sentinel_slaves("main")
        return (
            len({state["port"] for state in states}) == 1
            and all(state["num-slaves"] == 1 and state["num-other-sentinels"] == 2 for state in states)
            and all(state["flags"] == "master" for state in states)
            and [each["master-link-status"] for each in slaves] == ["ok"]
        )


@contextmanager
def watched(folder: Path, *options: str, down_after_ms: int = 1000) -> Iterator[Watched]:
    """Two servers with these options, and three Sentinels."""
    with ExitStack() as stack:
        options = ("repl-diskless-sync-delay 0", *options)
        master = stack.enter_context(RedisServer(folder, *options))
        replica = stack.enter_context(RedisServer(folder, *options, f"replicaof 127.0.0.1 {master.port}"))
        lines = (
            f"sentinel monitor main 127.0.0.1 {master.port} 2",
            f"sentinel down-after-milliseconds main {down_after_ms}",
            "sentinel failover-timeout main 2000",
        )
        sentinels = [stack.enter_context(RedisServer(folder, *lines, sentinel=True)) for _ in range(3)]
        for sentinel in sentinels:
            sentinel.client.execute_command("SENTINEL", "DEBUG", *_HURRY)
        found = Watched([master, replica], sentinels)
        found.wait_until_whole()
        yield found
