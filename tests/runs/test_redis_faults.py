"""Faults of the store and of the processes that share it: what is told to whom, and what is never lost or doubled."""

from __future__ import annotations

import asyncio
import signal
from contextlib import ExitStack
from pathlib import Path

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
from llmstream.events import CancelledBy, Failed
from llmstream.runs.log import END_OF_LOST, PositionLost
from llmstream.runs.redis.log import RedisLog
from llmstream.settings import Settings
from tests.support import ROOT
from tests.support.redis import RedisServer, free_port
from tests.support.redis_logs import END, LEASE_S, MakeLog, child, collect, follow, is_whole, new, says, tokens, until

# --- an owner that dies


async def test_an_owner_that_is_killed_is_told_to_all(server: RedisServer, process: MakeLog) -> None:
    """Everybody gets what was stored and one end, also who comes later or had more than was stored; nobody hangs."""
    first, second = process(), process()
    with child(server) as owner:
        await says(owner, "50")
        followers = [await follow(log) for log in (first, first, second)]
        owner.kill()
        found = await asyncio.wait_for(asyncio.gather(*followers), 3 * LEASE_S + 5)
    stored = is_whole(found[0])
    assert stored >= 50
    assert [found[0]] * 2 == found[1:]
    assert found[0] == await collect(process())
    (end,) = await collect(second, stored + 7)
    assert isinstance(end, Failed)
    assert [] == await collect(second, END_OF_LOST)
    info = await second.info("r")
    assert info is not None
    assert (END_OF_LOST, True) == (info.last, info.ended)


async def test_who_was_ahead_of_the_store_gets_the_end(server: RedisServer, process: MakeLog) -> None:
    """A client that holds more than the dead owner stored waits for the end, and is not sent back."""
    log = process()
    with child(server, 10) as owner:
        await says(owner, "10")
        ahead = log.follow("r", 17, idle_s=60)
        owner.kill()
        batch = await asyncio.wait_for(anext(ahead), 20)
        assert END_OF_LOST == batch.first
        with pytest.raises(StopAsyncIteration):
            await anext(ahead)
        ahead.close()


async def test_an_owner_that_slept_is_fenced(server: RedisServer, process: MakeLog) -> None:
    """A process that is stopped for long is dead to the others; when it wakes, it ends its run and adds nothing."""
    log = process()
    with child(server) as owner:
        await says(owner, "20")
        following = await follow(log)
        owner.send_signal(signal.SIGSTOP)
        found = await asyncio.wait_for(following, 20)
        is_whole(found)
        owner.send_signal(signal.SIGCONT)
        await asyncio.wait_for(says(owner, "lost"), 20)
    assert found == await collect(log)


async def test_an_owner_that_is_cut_off_is_fenced(server: RedisServer, process: MakeLog) -> None:
    """An owner that alone can't reach the store is dead to the others, and ends its run once it can again."""
    server.client.execute_command("ACL", "SETUSER", "owner", "on", ">secret", "~*", "&*", "+@all")
    log = process()
    with child(server, url=f"redis://owner:secret@127.0.0.1:{server.port}") as owner:
        await says(owner, "20")
        following = await follow(log)
        server.client.execute_command("ACL", "SETUSER", "owner", "off")
        server.client.execute_command("CLIENT", "KILL", "USER", "owner")
        is_whole(await asyncio.wait_for(following, 20))
        server.client.execute_command("ACL", "SETUSER", "owner", "on")
        await asyncio.wait_for(says(owner, "lost"), 20)


async def test_a_run_of_a_dead_owner_ends_when_it_is_asked_for(server: RedisServer, process: MakeLog) -> None:
    """Who only looks a run up now and then learns of its end too."""
    log = process()
    with child(server, 5) as owner:
        await says(owner, "5")
        info = await log.info("r")
        assert info is not None
        assert not info.ended
        owner.kill()

    async def has_ended() -> bool:
        info = await log.info("r")
        return info is not None and info.ended

    await until(has_ended)


async def test_a_watcher_that_is_killed_watches_no_more(server: RedisServer, process: MakeLog) -> None:
    """A run watched by a process alone ends with that process; as long as it lives, it does not."""
    left: asyncio.Queue[CancelledBy] = asyncio.Queue()
    log = process()
    await log.create(new(grace_s=0.1, on_cancel=left.put_nowait))
    here = log.follow("r", 0, idle_s=60)
    log.append("r", tokens(1, 1))
    with child(server, 0) as watcher:
        await says(watcher, "watching")
        here.close()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(left.get(), 2 * LEASE_S)
        watcher.kill()
        assert "left" == await asyncio.wait_for(left.get(), 20)


async def test_an_owner_is_stopped_without_a_message(server: RedisServer, process: MakeLog) -> None:
    """A stop is in the store: it is found by an owner that could not hear of it."""
    log = process()
    with child(server, 5) as owner:
        await says(owner, "5")
        await log.info("r")
        server.client.hset("llmstream:1:{r}", "x", "stop 0")
        await asyncio.wait_for(says(owner, "stop"), 20)


# --- a store that fails


async def test_a_store_that_loses_everything_gets_it_again(server: RedisServer, process: MakeLog) -> None:
    """FLUSHALL in the middle: nobody notices, and the run can still be found by its key."""
    owner, other = process(), process()
    await owner.create(new(key="k", fingerprint="f"))
    owner.append("r", tokens(1, 100))
    following = await follow(other)
    server.client.flushall()
    owner.append("r", tokens(101, 200))
    await owner.stored()
    server.client.flushall()
    owner.append("r", [*tokens(201, 300), END])
    await owner.close("r")
    assert [*tokens(1, 300), END] == await asyncio.wait_for(following, 20)
    assert [*tokens(1, 300), END] == await collect(process())
    assert "r" == await other.find("", "k", "f")


async def test_a_store_that_is_killed_and_empty_gets_it_again(server: RedisServer, process: MakeLog) -> None:
    """Redis without persistence dies and comes back: the local follower has no pause, the others miss nothing."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 100))
    here, there = await follow(owner), await follow(other)
    server.kill()
    owner.append("r", tokens(101, 200))
    behind = owner.follow("r", 100, idle_s=60)
    assert tokens(101, 200) == list((await anext(behind)).events)
    behind.close()
    server.start()
    owner.append("r", [*tokens(201, 300), END])
    await owner.close("r")
    assert [*tokens(1, 300), END] == await asyncio.wait_for(here, 20)
    assert [*tokens(1, 300), END] == await asyncio.wait_for(there, 20)


async def test_an_ended_run_is_repaired(server: RedisServer, process: MakeLog) -> None:
    """What had ended a moment ago is written again too."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", [*tokens(1, 10), END])
    await owner.close("r")
    await owner.stored()
    server.client.flushall()

    async def is_there() -> bool:
        return await other.info("r") is not None

    await until(is_there)
    await owner.stored()
    assert [*tokens(1, 10), END] == await collect(other)


async def test_a_store_that_stays_away_ends_no_run(server: RedisServer, process: MakeLog) -> None:
    """Answers go on for those who are with their owner; others are told to come back; no new run begins, at once."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 10))
    elsewhere = await follow(other)
    server.kill()
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(owner.create(new("second")), 2)
    with pytest.raises(StoreUnavailable):
        await other.find("", "k", "f")
    with pytest.raises(StoreUnavailable):
        await other.info("r")
    owner.append("r", [*tokens(11, 20), END])
    await owner.close("r")
    assert [*tokens(1, 20), END] == await collect(owner)
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(elsewhere, 20 * LEASE_S)


async def test_a_lost_tail_is_written_again(server: RedisServer, process: MakeLog) -> None:
    """A failover forgets the last writes: who has them waits, who comes gets them, and nothing comes twice."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 10))
    await owner.stored()
    keys = ("llmstream:1:{r}", "llmstream:1:{r}:e")
    before = [server.client.dump(key) for key in keys]
    owner.append("r", tokens(11, 20))
    following = await follow(other)
    await owner.stored()
    for key, dump in zip(keys, before, strict=True):
        server.client.restore(key, 600_000, dump, replace=True)
    late = asyncio.create_task(collect(process(), 20))
    owner.append("r", [*tokens(21, 30), END])
    await owner.close("r")
    assert [*tokens(1, 30), END] == await asyncio.wait_for(following, 20)
    assert [*tokens(21, 30), END] == await asyncio.wait_for(late, 20)
    assert [*tokens(1, 30), END] == await collect(process())


@pytest.mark.parametrize(
    "fault",
    [
        ("CLIENT", "KILL", "TYPE", "pubsub"),
        ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"),
        ("CLIENT", "PAUSE", "600", "ALL"),
        ("CLIENT", "PAUSE", "1500", "ALL"),
        ("SCRIPT", "FLUSH"),
    ],
    ids=" ".join,
)
async def test_small_faults_are_not_noticed(server: RedisServer, process: MakeLog, fault: tuple[str, ...]) -> None:
    """Connections cut, silence, forgotten scripts, again and again: each event once, in order, in every process."""
    owner, others = process(), [process(), process()]
    await owner.create(new())
    owner.append("r", tokens(1, 100))
    following = [await follow(other) for other in others for _ in range(2)]
    number = 100
    for _ in range(3):
        for _ in range(20):
            owner.append("r", tokens(number + 1, number + 5))
            number += 5
            await asyncio.sleep(0.002)
        await asyncio.to_thread(server.client.execute_command, *fault)
    owner.append("r", [END])
    await owner.close("r")
    found = await asyncio.wait_for(asyncio.gather(*following), 30)
    assert [[*tokens(1, number), END]] * 4 == found


async def test_a_store_that_is_full(server: RedisServer, process: MakeLog) -> None:
    """No new run begins, those that go on do; when there is room, all of it is stored."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 10))
    following = await follow(other)
    server.client.config_set("maxmemory", 1)
    owner.append("r", tokens(11, 20))
    with pytest.raises(StoreFull):
        await owner.create(new("second"))
    assert (await other.info("r")) is not None
    server.client.config_set("maxmemory", 0)
    owner.append("r", [END])
    await owner.close("r")
    assert [*tokens(1, 20), END] == await asyncio.wait_for(following, 20)
    await owner.create(new("third"))


async def test_a_creation_that_was_not_answered_is_taken_back(server: RedisServer, process: MakeLog) -> None:
    """The store did what it was asked, but too late: the key still starts a run."""
    owner = process()
    await owner.find("", "k", "f")
    server.client.execute_command("CLIENT", "PAUSE", "1800", "ALL")
    with pytest.raises(StoreUnavailable):
        await owner.create(new(key="k", fingerprint="f"))

    async def is_free() -> bool:
        try:
            return await owner.find("", "k", "f") is None
        except StoreUnavailable:
            return False

    await until(is_free)
    assert "again" == await owner.create(new("again", key="k", fingerprint="f"))


async def test_an_old_copy_of_a_run_is_ended_by_its_owner(server: RedisServer, process: MakeLog) -> None:
    """A run that its owner knows no more, because an old copy of the store came back, does not hang."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 5))
    await owner.stored()
    keys = ("llmstream:1:{r}", "llmstream:1:{r}:e")
    for key in keys:
        server.client.restore(key.replace("{r}", "{old}"), 600_000, server.client.dump(key))
    assert 5 == is_whole(await asyncio.wait_for(collect(other, id="old"), 20 * LEASE_S))


# --- what lies in the store


@pytest.mark.parametrize(
    "entry", [b"\x80\x04.", b"[1]", b'["a","b"]', b'[{"type":"token"}]', b"x" * 10**6, b'[{"lc":1}]']
)
async def test_garbage_ends_its_followers_with_an_error(server: RedisServer, process: MakeLog, entry: bytes) -> None:
    """Bytes that are no batch of events are told as such, whether stored or sent; nothing else breaks."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 3))
    following = await follow(other)
    await owner.stored()
    server.client.xadd("llmstream:1:{r}:e", {"e": entry}, id="4-1")
    server.client.publish("llmstream:1:{r}", b"4-1 " + entry)
    for found in (await asyncio.wait_for(following, 20), await collect(process())):
        assert isinstance(found[-1], Failed)
        assert (tokens(1, 3), "store_corrupt") == (found[:-1], found[-1].code)
    await owner.create(new("other"))
    owner.append("other", [END])
    assert [END] == await collect(other, id="other")


async def test_messages_that_are_none_change_nothing(server: RedisServer, process: MakeLog) -> None:
    """Whatever is sent to a process: it goes on."""
    owner, other = process(), process()
    await owner.create(new())
    owner.append("r", tokens(1, 3))
    following = await follow(other)
    for message in (b"", b"x", b"x r", b"x r nobody", b"s " + b"\xff" * 300, b"l r", b"s other", b"p p p"):
        for log in (owner, other):
            server.client.publish(f"llmstream:1:n:{log.node}", message)
    server.client.publish("llmstream:1:{r}", b"3-1 [")  # what it has already
    owner.append("r", [END])
    assert [*tokens(1, 3), END] == await asyncio.wait_for(following, 20)


# --- keys, callers, chats


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


# --- the beginning


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
    assert await other.cancel("r", "stop")
    owner.append("r", [END])
    await owner.close("r")
    assert [*tokens(1, 3), END] == await asyncio.wait_for(following, 20)
    await asyncio.sleep(LEASE_S)  # a tick or two
    log = [entry["username"] for entry in server.client.acl_log()]
    assert [] == log


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


async def test_a_master_that_dies_is_followed_by_another(tmp_path: Path, process: MakeLog) -> None:
    """With Sentinels the next master is found; what the dead one had and the next one has not is written again."""
    with ExitStack() as stack:
        master = stack.enter_context(RedisServer(tmp_path, "repl-diskless-sync-delay 0"))
        stack.enter_context(RedisServer(tmp_path, f"replicaof 127.0.0.1 {master.port}"))
        watch = (
            f"sentinel monitor main 127.0.0.1 {master.port} 2",
            "sentinel down-after-milliseconds main 500",
            "sentinel failover-timeout main 3000",
        )
        sentinels = [stack.enter_context(RedisServer(tmp_path, *watch, sentinel=True)) for _ in range(3)]

        async def is_watched() -> bool:
            states = [sentinel.client.sentinel_master("main") for sentinel in sentinels]
            return all(state["num-slaves"] == 1 and state["num-other-sentinels"] == 2 for state in states)

        await until(is_watched)
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
        owner, other = (process(redis_url=f"redis+sentinel://{hosts}/main") for _ in range(2))
        await owner.start()
        await owner.create(new())
        owner.append("r", tokens(1, 50))
        following = await follow(other)
        master.kill()
        owner.append("r", tokens(51, 100))
        await asyncio.wait_for(owner.stored(), 40)
        owner.append("r", [END])
        await owner.close("r")
        assert [*tokens(1, 100), END] == await asyncio.wait_for(following, 40)
        for log in (owner, other):
            await log.aclose()
