"""A store that answers and refuses, or does not answer."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.redis import RedisServer
from tests.support.redis_runs import END, MakeLog, collect, follow, goes_on, is_refused, new, tokens


def _busy(server: RedisServer) -> Callable[[], object]:
    """Have a script run for ever."""
    server.client.config_set("busy-reply-threshold", 50)
    other = server.another_client()
    other.connection_pool.get_connection().send_command("EVAL", "while true do end", 0)
    return lambda: server.client.execute_command("SCRIPT", "KILL")


def _configured(name: str, value: object, before: object) -> Callable[[RedisServer], Callable[[], object]]:
    def begin(server: RedisServer) -> Callable[[], object]:
        server.client.config_set(name, value)
        return lambda: server.client.config_set(name, before)

    return begin


def _read_only(server: RedisServer) -> Callable[[], object]:
    server.client.replicaof("127.0.0.1", "1")
    return lambda: server.client.replicaof("no", "one")


def _misconfigured(server: RedisServer) -> Callable[[], object]:
    """A store that could not save and takes no writes therefore."""
    folder = server.client.config_get("dir")["dir"]
    server.client.config_set("save", "1 1")
    Path(folder, "dump.rdb").mkdir()  # which it can't replace by a file
    server.client.bgsave()

    def end() -> None:
        server.client.config_set("save", "")
        server.client.config_set("stop-writes-on-bgsave-error", "no")

    return end


def _stopped(server: RedisServer) -> Callable[[], object]:
    server.signal(signal.SIGSTOP)
    return lambda: server.signal(signal.SIGCONT)


def _rotated(server: RedisServer) -> Callable[[], object]:
    """The password is another one now, and all who came with the old one are cut off."""
    server.client.execute_command("ACL", "SETUSER", "us", "resetpass", ">new")
    server.client.execute_command("CLIENT", "KILL", "USER", "us")
    return lambda: server.client.execute_command("ACL", "SETUSER", "us", ">secret")


def _closed(server: RedisServer) -> Callable[[], object]:
    """A password is asked for from now on, and those who came without one are cut off."""
    server.client.config_set("requirepass", "secret")
    server.client.execute_command("CLIENT", "KILL", "USER", "default")
    return lambda: server.client.config_set("requirepass", "")


def _forbidden(server: RedisServer) -> Callable[[], object]:
    """It answers whoever asks whether it is there, and refuses all else."""
    server.client.execute_command("ACL", "SETUSER", "us", "-evalsha")
    return lambda: server.client.execute_command("ACL", "SETUSER", "us", "+evalsha")


@pytest.mark.parametrize(
    "refuse",
    [
        pytest.param(_configured("min-replicas-to-write", 1, 0), id="NOREPLICAS"),
        pytest.param(_read_only, id="READONLY"),
        pytest.param(_misconfigured, id="MISCONF"),
        pytest.param(_busy, id="BUSY"),
        pytest.param(_stopped, id="silent"),
        pytest.param(_rotated, id="another password"),
        pytest.param(_closed, id="requirepass"),
        pytest.param(_forbidden, id="NOPERM"),
    ],
)
async def test_a_store_that_refuses_is_as_one_that_is_away(
    server: RedisServer,
    process: MakeLog,
    caplog: pytest.LogCaptureFixture,
    refuse: Callable[[RedisServer], Callable[[], object]],
) -> None:
    """Answers go on here, new runs are refused; when it is mended, everybody elsewhere gets all of it.

    Each process says so once, and once that it is over.
    """
    server.client.execute_command("ACL", "SETUSER", "us", "on", ">secret", "~*", "&*", "+@all")
    url = server.url if refuse is _closed else f"redis://us:secret@127.0.0.1:{server.port}"
    owner, other = (process(redis_url=url, store_timeout_s=0.5) for _ in range(2))
    await owner.create(new())
    owner.append("r", tokens(1, 10))
    elsewhere = await follow(other)
    await owner.stored()
    mend = await asyncio.to_thread(refuse, server)
    await goes_on(owner, 10)
    await is_refused(owner)
    await goes_on(owner, 20)
    await asyncio.to_thread(mend)
    owner.append("r", [END])
    await owner.close("r")
    assert [*tokens(1, 30), END] == await asyncio.wait_for(elsewhere, 20)
    assert [*tokens(1, 30), END] == await collect(process())
    said = [record.getMessage() for record in caplog.records if "the store at" in record.getMessage()]
    assert 1 <= sum("is away" in line for line in said) <= 2 >= sum("is back" in line for line in said)
