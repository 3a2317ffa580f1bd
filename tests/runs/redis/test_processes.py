"""Several processes on one store: what they share, and what they refuse."""

from __future__ import annotations

import asyncio

import pytest

from llmstream.errors import (
    KeyConflict,
    LlmstreamError,
    RunNotFound,
    SettingsError,
    StoreFull,
    StoreUnavailable,
    TooManyRuns,
)
from llmstream.runs.log import PositionLost, RunInfo
from llmstream.runs.redis.log import RedisLog
from llmstream.settings import Settings
from tests.support import ROOT
from tests.support.ports import free_port
from tests.support.redis import RedisServer
from tests.support.redis_runs import END, KEYS, LEASE_S, MakeLog, collect, follow, new, tokens, until


async def test_one_key_in_many_processes_starts_one_run(process: MakeLog) -> None:
    """Whoever is first, all of them get the same run."""
    logs = [process() for _ in range(6)]
    created = [log.create(new(f"r{n}", key="k", fingerprint="f", caller="ann")) for n, log in enumerate(logs)]
    runs = set(await asyncio.gather(*created))
    assert 1 == len(runs)
    assert runs == {await log.find("ann", "k", "f") for log in logs}
    with pytest.raises(KeyConflict):
        await logs[0].create(new("other", key="k", fingerprint="other", caller="ann"))


async def test_a_caller_is_limited_in_all_processes(process: MakeLog) -> None:
    """What one caller may have at once is counted over all, and a run that ended makes room."""
    first, second = process(), process()
    await first.create(new("a", caller="ann", caller_limit=2))
    await second.create(new("b", caller="ann", caller_limit=2))
    with pytest.raises(TooManyRuns):
        await first.create(new("c", caller="ann", caller_limit=2))
    await first.create(new("d", caller="bob", caller_limit=2))
    second.append("b", [END])
    await second.close("b")
    await second.stored()
    assert "e" == await first.create(new("e", caller="ann", caller_limit=2))


async def test_a_chat_is_one_in_all_processes(process: MakeLog) -> None:
    """The last run of a chat is known everywhere, and who replaces it learns which one that was."""
    first, second = process(), process()
    assert await first.named("ann", "chat") is None
    assert await first.swap("ann", "chat", "a", "note") is None
    assert ("a", "note") == await second.named("ann", "chat")
    assert "a" == await second.swap("ann", "chat", "b", "")
    assert ("b", "") == await first.named("ann", "chat")
    assert await first.named("bob", "chat") is None


async def test_a_store_that_can_not_be_used_is_refused(server: RedisServer, process: MakeLog) -> None:
    """A wrong address, a password that is asked for, a store that throws answers away: one sentence, no secret."""
    with pytest.raises(SettingsError, match="can't be used"):
        await process(redis_url=f"redis://ann:secret@127.0.0.1:{free_port()}").start()
    server.client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(SettingsError, match="throws away"):
        await process().start()
    server.client.config_set("requirepass", "secret")
    with pytest.raises(SettingsError, match="uthentication required") as refused:
        await process(redis_url=f"redis://127.0.0.1:{server.port}").start()
    with pytest.raises(SettingsError, match="invalid username-password") as wrong:
        await process(redis_url=f"redis://ann:hunter2@127.0.0.1:{server.port}").start()
    assert "hunter2" not in f"{refused.value} {wrong.value}"


@pytest.mark.parametrize(
    "url", ["http://localhost", "redis", "redis+sentinel://localhost", "redis+sentinel://h:x/s", ""]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """What can't be an address is told at once, with the forms there are."""
    with pytest.raises(SettingsError, match=r"redis\+sentinel"):
        RedisLog(Settings(redis_url=url))


async def test_the_rights_in_the_documentation_are_enough(server: RedisServer, process: MakeLog) -> None:
    """A user with exactly the rights that the documentation names can do everything."""
    text = (ROOT / "docs" / "deploy.md").read_text()
    rights = text.split("ACL SETUSER llmstream ")[1].split("\n")[0].split("`")[0].split()
    server.client.execute_command("ACL", "SETUSER", "llmstream", *rights)
    password = next(each[1:] for each in rights if each.startswith(">"))
    url = f"redis://llmstream:{password}@127.0.0.1:{server.port}"
    owner, other = process(redis_url=url), process(redis_url=url)
    await owner.start()
    await owner.create(new(key="k", fingerprint="f", caller_limit=1))
    owner.append("r", tokens(1, 3))
    following = await follow(other)
    assert "r" == await other.find("", "k", "f")
    await other.swap("", "chat", "r", "")
    assert await other.succeed("", "chat", "r", "s")
    assert await other.question("r") is None
    assert await other.cancel("r", "stop")
    owner.append("r", [END])
    await owner.close("r")
    assert [*tokens(1, 3), END] == await asyncio.wait_for(following, 20)
    await asyncio.sleep(LEASE_S)  # a tick or two
    log = [entry["username"] for entry in server.client.acl_log()]
    assert [] == log


async def test_who_follows_no_more_is_told_no_more(server: RedisServer, process: MakeLog) -> None:
    """A process that hears of a run which nobody follows there says so, and its owner takes its time again."""
    owner, other = process(), process()
    await owner.create(new())
    await other.start()
    await other.reader.look("r", 0, followed=True)

    async def is_left() -> bool:
        owner.append("r", tokens(1, 1))
        await owner.stored()
        return bool(server.client.hget("{llmstream}:1:r:r", "r") == b"" == owner.writer.owned["r"].followers)

    assert b"" != server.client.hget("{llmstream}:1:r:r", "r")
    await until(is_left)


async def test_what_is_followed_elsewhere_is_told_at_once(server: RedisServer, process: MakeLog) -> None:
    """Tokens of a run that nobody elsewhere follows are stored some at a time; who comes gets those that wait."""
    owner, other = process(), process()
    for run in ("followed", "here"):
        await owner.create(new(run))
    follower, got = other.follow("followed", 0, idle_s=20), 0
    for number in range(1, 31):
        for run in ("followed", "here"):
            owner.append(run, tokens(number, number))
        while got < number:
            got += len((await anext(follower)).events)
    follower.close()
    owner.append("here", tokens(31, 32))
    late, ahead = (other.follow("here", after, idle_s=20) for after in (31, 32))
    coming = asyncio.ensure_future(anext(ahead))
    assert int(server.client.hget("{llmstream}:1:r:here", "n").partition(b"-")[0]) <= 30  # they are ahead of the store
    assert tokens(32, 32) == (await anext(late)).events
    owner.append("here", tokens(33, 33))
    assert tokens(33, 33) == (await coming).events
    late.close()
    ahead.close()
    followed, here = (server.client.xlen(f"{{llmstream}}:1:r:{run}:e") for run in ("followed", "here"))
    assert here < followed <= 30


async def test_many_watchers_elsewhere_cost_one_message(server: RedisServer, process: MakeLog) -> None:
    """A process is told of each batch once, however many follow there."""
    owner, other = process(lease_s=60), process(lease_s=60)
    await owner.create(new())
    owner.append("r", tokens(1, 1))
    followers = [other.follow("r", 0, idle_s=20) for _ in range(100)]
    for follower in followers:
        assert tokens(1, 1) == (await anext(follower)).events
    await owner.stored()

    def told() -> tuple[int, int]:
        return server.client.info("commandstats")["cmdstat_publish"]["calls"], server.client.xlen(KEYS[1])

    messages, batches = told()
    for number in range(2, 12):
        owner.append("r", tokens(number, number))
        for follower in followers:
            assert tokens(number, number) == (await anext(follower)).events
    assert (messages + 10, batches + 10) == told()
    for follower in followers:
        follower.close()


async def test_many_who_come_back_elsewhere_ask_the_store_once(server: RedisServer, process: MakeLog) -> None:
    """A process knows whose run it is that is followed there, and how far it was; how far it is the store knows."""
    owner, other = process(lease_s=60), process(lease_s=60)
    await owner.create(new(caller="ann"))
    owner.append("r", tokens(1, 3))
    following = await follow(other)
    calls = server.client.info("commandstats")["cmdstat_evalsha"]["calls"]
    for _ in range(100):
        assert RunInfo("r", "ann", 1, 3, ended=False) == await other.info("r", allow_stale=True)
        another = other.follow("r", 1, idle_s=20)
        assert tokens(2, 3) == (await anext(another)).events
        another.close()
    assert calls == server.client.info("commandstats")["cmdstat_evalsha"]["calls"]
    server.client.client_kill_filter(_type="pubsub")
    owner.append("r", [END])
    await owner.close("r")
    await owner.stored()
    whole = RunInfo("r", "ann", 1, 4, ended=True)
    assert whole == await other.info("r")  # although nobody has told that process
    assert [*tokens(1, 3), END] == await asyncio.wait_for(following, 20)
    assert whole == await other.info("r", allow_stale=True)


async def test_silent_runs_are_looked_after_together(server: RedisServer, process: MakeLog) -> None:
    """Many runs in which nothing happens cost few calls, and what the store lost of who follows them is mended."""
    owner, other = process(), process()
    runs = [f"r{number}" for number in range(60)]
    followings = []
    for run in runs:
        await owner.create(new(run))
        owner.append(run, tokens(1, 1))
        followings.append(await follow(other, id=run))
    meta = "{llmstream}:1:r:r7"
    node, mirrors = other.node.encode(), [other.reader.mirrors[run] for run in runs]

    def calls() -> int:
        return int(server.client.info("commandstats")["cmdstat_evalsha"]["calls"])

    async def are_silent() -> bool:
        return all(mirror.silent_s >= LEASE_S for mirror in mirrors)

    async def are_long_silent() -> bool:
        return all(mirror.silent_s >= 4 * LEASE_S for mirror in mirrors)

    async def is_mended() -> bool:
        return node in (server.client.hget(meta, "r") or b"") and bool(server.client.sismember(f"{meta}:w", node))

    await until(are_silent)
    before = calls()
    await until(are_long_silent)
    assert calls() - before < len(runs)
    server.client.hset(meta, "r", "")
    server.client.delete(f"{meta}:w")
    await until(is_mended)
    for run, following in zip(runs, followings, strict=True):
        owner.append(run, [END])
        await owner.close(run)
        assert [*tokens(1, 1), END] == await asyncio.wait_for(following, 20)


async def test_who_is_unknown_is_not_found(process: MakeLog) -> None:
    """An id that was never given, or is none, leads nowhere and makes no key."""
    log = process()
    for name in ("nobody", "a}{b", "x" * 500, "*"):
        assert await log.info(name) is None
        with pytest.raises(RunNotFound):
            await collect(log, id=name)
        with pytest.raises(RunNotFound):
            await log.cancel(name, "stop")


async def test_a_process_that_goes_down_sends_its_watchers_away(process: MakeLog) -> None:
    """Its followers of other processes' runs end without an end, so that they come back elsewhere."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 3))
    following = await follow(other)
    other.leave()
    assert tokens(1, 3) == await asyncio.wait_for(following, 20)
    owner.append("r", [END])
    assert [END] == await collect(process(), 3)


async def test_a_position_in_another_process_that_never_was(process: MakeLog) -> None:
    """It is told after a moment, in which the owner could have stored more."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 3))
    with pytest.raises(PositionLost, match="future"):
        await asyncio.wait_for(collect(other, 9), 20)


def test_errors_of_the_store_may_be_shown() -> None:
    """They are errors like all others, and retryable ones."""
    assert all(issubclass(each, LlmstreamError) and each.retryable for each in (StoreFull, StoreUnavailable))
