"""Two servers that share a Redis: what it costs to follow a run at the one that does not own it, and how late it is."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks import crowd
from benchmarks.client import connect, get_bytes, read_until, request_bytes
from benchmarks.many import RATE
from benchmarks.processes import OTHERS_CORE, SERVER_CORE, Process, server, upstream
from benchmarks.redis_server import Redis, store
from benchmarks.report import percentile, table, target
from benchmarks.watchers import reconnect, start

_SETTLE_S = 2.0
_REPEATS = 5
_COUNTED_S = 10.0
# Runs of which nothing is heard are looked at again and again, at last every 30 s.
_QUIET_S = 45.0
# What a server calls; the other commands are in its scripts.
_CALLED = ("evalsha", "exists", "set", "get", "srem", "publish", "subscribe", "unsubscribe")
# Of one server, whatever the number of its watchers: a pool, and the one that listens.
_CONNECTIONS = 9
_LEASE_S = 6.0
_LONG = f"tokens=1000000 rate={RATE}"
# Its second token comes after more time than is measured.
_IDLE = "tokens=3000 rate=0.001"
# For crowds of watchers, each of whom gets every token: few enough that only what is measured makes them wait.
_CROWDED = "tokens=1000000 rate=10"
# Tokens of a run that nobody elsewhere follows, as many as wait for a tenth of a second, and one that comes.
_WAITING = RATE // 10 + 1


@dataclass
class Pair:
    """The process that owns the runs, another one, and what they share; without a store, one process alone."""

    source: Process
    owner: Process
    other: Process
    redis: Redis | None


@contextmanager
def pair(*, shared: bool, runs: int = 16, alone_on: int = SERVER_CORE) -> Iterator[Pair]:
    """The owner on a core of its own, the other on that of the clients; alone_on: the core of one without a store."""
    limits = {"LLMSTREAM_MAX_ACTIVE_RUNS": str(runs), "LLMSTREAM_GRACE_S": "0", "LLMSTREAM_DRAIN_S": "0"}
    limits["LLMSTREAM_TOKEN_TIMEOUT_S"] = "3600"  # for idle runs
    with ExitStack() as stack:
        source = stack.enter_context(upstream())
        if not shared:
            alone = stack.enter_context(server("llmstream", source, alone_on, **limits))
            yield Pair(source, alone, alone, None)
            return
        redis = stack.enter_context(store())
        limits["LLMSTREAM_REDIS_URL"] = redis.url
        owner = stack.enter_context(server("llmstream", source, **limits))
        other = stack.enter_context(server("llmstream", source, OTHERS_CORE, **limits))
        yield Pair(source, owner, other, redis)


@dataclass
class _Busy:
    """Of some seconds of many streams: lateness, CPU seconds of owner and store, tokens made, script calls a second."""

    late_s: list[float]
    owner_s: float
    store_s: float
    tokens: float
    calls: float


async def _busy(found: Pair, streams: int, seconds: float, *, elsewhere: bool) -> _Busy:
    """Begin streams at the owner, and follow them there or elsewhere."""
    lateness = crowd.Lateness()
    watchers = []
    for _ in range(streams):
        if elsewhere:
            run_id = await asyncio.to_thread(start, found.owner, _LONG)
            watching = crowd.watch(found.other.port, get_bytes(f"/runs/{run_id}/events"), lateness.on_data)
        else:
            watching = crowd.watch(found.owner.port, request_bytes(_LONG), lateness.on_data)
        watchers.append(await watching)
    for watcher in watchers:
        await watcher.saw(b"T0")
    await asyncio.sleep(_SETTLE_S)
    redis = found.redis
    before = found.owner.cpu_s(), redis.process.cpu_s() if redis else 0.0, redis.calls("evalsha") if redis else 0
    lateness.counts = True
    await asyncio.sleep(seconds)
    lateness.counts = False
    after = found.owner.cpu_s(), redis.process.cpu_s() if redis else 0.0, redis.calls("evalsha") if redis else 0
    owner_s, store_s, calls = (one - other for one, other in zip(after, before, strict=True))
    for watcher in watchers:
        watcher.transport.abort()
    return _Busy(lateness.late_s, owner_s, store_s, streams * RATE * seconds, calls / seconds)


def _streams(streams: int, seconds: float) -> None:
    cases = {"memory": (False, False), "Redis, here": (True, False), "Redis, elsewhere": (True, True)}
    found: dict[str, _Busy] = {}
    for name, (shared, elsewhere) in cases.items():
        with pair(shared=shared, runs=streams) as two:
            found[name] = crowd.run(_busy(two, streams, seconds, elsewhere=elsewhere))
    rows = []
    for name, busy in found.items():
        late_ms = [percentile(busy.late_s, percent) * 1e3 for percent in (50, 99)]
        rows.append((name, *late_ms, busy.owner_s / busy.tokens * 1e6, busy.store_s / busy.tokens * 1e6, busy.calls))
    table(
        f"{streams} streams at {RATE} tokens/s",
        ("log, follower", "late p50, ms", "p99, ms", "owner, µs a token", "Redis, µs a token", "calls/s"),
        rows,
    )
    memory, here, there = found.values()
    for percent, limit in ((50, 8), (99, 3 if streams == 1 else 30)):
        beyond_s = percentile(there.late_s, percent) - percentile(here.late_s, percent)
        target(f"p{percent} elsewhere beyond here, streams: {streams}", beyond_s * 1e3, limit, "ms")
    if streams == 1:
        return
    target("owner's CPU a token beside memory", here.owner_s / memory.owner_s, 1.2, "times")
    target("Redis a token, none followed elsewhere", here.store_s / here.tokens * 1e6, 4, "µs")
    target("Redis a token, all followed elsewhere", there.store_s / there.tokens * 1e6, 8, "µs")
    target("calls of the owner, none followed elsewhere", here.calls, 110, "a second")
    target("calls of the owner, all followed elsewhere", there.calls, 110, "a second")


async def _idle(found: Pair, runs: Sequence[str], watchers: int, settle_s: float) -> tuple[float, float, float]:
    """MiB of the process that is asked, connections to the store, calls of it a second, for so many idle watchers."""
    before = found.other.rss_bytes()
    requests = [get_bytes(f"/runs/{runs[number % len(runs)]}/events") for number in range(watchers)]
    crowded = [await crowd.watch(found.other.port, request) for request in requests]
    for watcher in crowded:
        await watcher.saw(b"event: token")
    connections = calls = 0.0
    if found.redis:
        await asyncio.sleep(settle_s)
        calls = -found.redis.calls(*_CALLED)
        await asyncio.sleep(_COUNTED_S)
        calls = (calls + found.redis.calls(*_CALLED)) / _COUNTED_S
        connections = found.redis.figure("connected_clients") - 1  # this one's own
    extra = (found.other.rss_bytes() - before) / 2**20
    for watcher in crowded:
        watcher.transport.abort()
    return extra, connections, calls


def _watchers(watchers: int, settle_s: float) -> None:
    rows: list[tuple[str, float, float, float]] = []
    for name, shared, runs in (
        ("memory, 1 run", False, 1),
        ("Redis, 1 run", True, 1),
        ("Redis, a run each", True, watchers),
    ):
        with pair(shared=shared, runs=runs) as two:
            ids = [start(two.owner, _IDLE) for _ in range(runs)]
            rows.append((name, *crowd.run(_idle(two, ids, watchers, settle_s))))
    table(f"{watchers} idle watchers elsewhere", ("log", "MiB", "connections to Redis", "calls/s"), rows)
    (_, memory, *_), *others = rows
    for (name, extra, connections, calls), limit in zip(others, (1.25, 1.6), strict=True):
        target(f"memory beside memory's, {name}", extra / memory, limit, "times")
        target(f"connections of two servers, {name}", connections, 2 * _CONNECTIONS, "")
        target(f"calls, {name}", calls, 80, "a second")


def _stop_s(found: Pair) -> float:
    run_id = start(found.owner, "tokens=100000 rate=100")
    with connect(found.owner.port) as watcher:
        watcher.sendall(get_bytes(f"/runs/{run_id}/events"))
        read_until(watcher, b"T0")
        asked = time.monotonic()
        found.other.ask("POST", f"/runs/{run_id}/stop")
        read_until(watcher, b"event: cancelled")
        return time.monotonic() - asked


def _reconnect_s(found: Pair, clients: int) -> float:
    """The longest wait, median of several times: they take most of a core, and wait for whatever else runs then.

    Each time of a new run: what an older one has said already would be sent to each of them first.
    """
    longest = []
    for _ in range(_REPEATS):
        run_id = start(found.owner, _CROWDED)
        longest.append(max(crowd.run(reconnect(found.other, run_id, clients, 1))))
        found.owner.ask("POST", f"/runs/{run_id}/stop")
    return statistics.median(longest)


def _killed_s(found: Pair) -> float:
    """From the owner's death to its run's end elsewhere."""
    run_id = start(found.owner, _LONG)
    with connect(found.other.port) as watcher:
        watcher.sendall(get_bytes(f"/runs/{run_id}/events"))
        read_until(watcher, b"T0")
        found.owner.signal(signal.SIGKILL)
        killed = time.monotonic()
        read_until(watcher, b"owner_lost")
        return time.monotonic() - killed


def _caught_up_s(found: Pair, streams: int) -> float:
    """From the end of a second's outage under so many streams until nothing is unstored."""
    for _ in range(streams):
        start(found.owner, _LONG)
    time.sleep(_SETTLE_S)
    assert found.redis is not None
    found.redis.process.signal(signal.SIGSTOP)
    time.sleep(1)
    found.redis.process.signal(signal.SIGCONT)
    back = time.monotonic()
    while _unstored(found.owner) > _WAITING * streams:
        time.sleep(0.02)
    return time.monotonic() - back


def _unstored(process: Process) -> float:
    with connect(process.port) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        answer = b""
        while data := connection.recv(2**16):
            answer += data
    return float(answer.partition(b"\nllmstream_store_unstored_events ")[2].split(b"\n", 1)[0])


def _both(measure: Callable[[Pair], float]) -> tuple[float, float]:
    """The figure for one process with its memory, and for two with a store; what is asked shares the clients' core."""
    with pair(shared=False, alone_on=OTHERS_CORE) as alone:
        here = measure(alone)
    with pair(shared=True) as two:
        return here, measure(two)


def run(*, quick: bool) -> None:
    """Each part on servers of its own."""
    streams, seconds, watchers, clients, stops = (100, 5, 500, 300, 50) if quick else (200, 10, 2000, 1000, 200)
    _streams(1, seconds)
    _streams(streams, seconds)
    _watchers(watchers, _SETTLE_S if quick else _QUIET_S)
    stop_here, stop_there = _both(lambda found: percentile([_stop_s(found) for _ in range(stops)], 99))
    again_here, again_there = _both(lambda found: _reconnect_s(found, clients))
    with pair(shared=True) as two:
        killed_s = _killed_s(two)
    with pair(shared=True, runs=streams) as two:
        caught_up_s = _caught_up_s(two, streams)
    rows = [
        ("p99 of a stop, ms", stop_here * 1e3, stop_there * 1e3),
        (f"{clients} reconnects in 1 s: longest wait, ms", again_here * 1e3, again_there * 1e3),
        ("kill -9 of the owner to the end of its run, s", "", killed_s),
        (f"after 1 s without Redis, {streams} streams: caught up, s", "", caught_up_s),
    ]
    table("Elsewhere", ("", "memory", "Redis, elsewhere"), rows)
    target("p99 of a stop beyond memory", (stop_there - stop_here) * 1e3, 10, "ms")
    target("longest wait of a reconnect beside memory", again_there / again_here, 2, "times")
    target("the end after a kill", killed_s / _LEASE_S, 1.9, "leases")
    target("caught up after an outage", caught_up_s, 1, "s")
