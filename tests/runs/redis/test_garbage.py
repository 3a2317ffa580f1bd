"""Bytes in the store that no process of this library has written: only the run that they belong to is hurt."""

from __future__ import annotations

import pytest

from llmstream.errors import StoreCorrupt
from llmstream.runs.redis.store.keys import Keys
from tests.support.redis import RedisServer
from tests.support.redis_runs import END, MakeLog, collect, new, tokens

KEYS = Keys("llmstream")
GARBAGE = [b"\xff\xfe", b"", b"-1", b"9" * 400]


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_what_is_known_of_a_run(server: RedisServer, process: MakeLog, garbage: bytes) -> None:
    """The run goes on where it is made, others are told, and all that this process makes is stored as before."""
    owner, other = process(), process()
    for run in ("harmed", "whole"):
        await owner.create(new(run))
        owner.append(run, tokens(1, 3))
    await owner.stored()
    server.client.hset(KEYS.meta("harmed"), "n", garbage)
    for run in ("harmed", "whole"):
        owner.append(run, [*tokens(4, 5), END])
        await owner.close(run)
    await owner.stored()
    for log, run in ((owner, "harmed"), (owner, "whole"), (other, "whole")):
        assert [*tokens(1, 5), END] == await collect(log, id=run)
    with pytest.raises(StoreCorrupt):
        await other.info("harmed")


@pytest.mark.parametrize("kind", ["chat", "key"])
async def test_a_name(server: RedisServer, process: MakeLog, kind: str) -> None:
    """Who asks by a name that holds no text is told so."""
    log = process()
    await log.start()
    server.client.set(KEYS.chat("ann", "c") if kind == "chat" else KEYS.key("ann", "c"), b"\xff\xfe r")
    with pytest.raises(StoreCorrupt):
        await (log.named("ann", "c") if kind == "chat" else log.find("ann", "c", "f"))
