"""The run log in Redis beside the one in memory: what a token, a run and its beginning cost more."""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import ExitStack

from benchmarks import replicas
from benchmarks.client import connect, drain, post_bytes, read_until
from benchmarks.processes import Process, server, upstream
from benchmarks.redis_server import Redis, store
from benchmarks.report import percentile, table, target
from benchmarks.throughput import cpu_us
from llmstream.events import Token
from llmstream.runs.log import NewRun, RunLog
from llmstream.runs.memory import MemoryLog
from llmstream.runs.redis.log import RedisLog
from llmstream.settings import Settings

NAMES = ("memory", "Redis")
_SETTLE_S = 0.3


def _full_speed(processes: dict[str, Process], tokens: int, repeats: int) -> None:
    """CPU of the server per token of one long answer; what is written behind counts."""
    figures: dict[str, list[float]] = {name: [] for name in NAMES}
    for number in range(repeats + 1):
        for name, process in processes.items():
            before = process.cpu_s()
            cpu_us(process, tokens)
            time.sleep(_SETTLE_S)
            if number:
                figures[name].append((process.cpu_s() - before) / tokens * 1e6)
    medians = {name: statistics.median(figures[name]) for name in NAMES}
    rows = [(name, min(figures[name]), medians[name], 1e6 / medians[name]) for name in NAMES]
    table("One answer at full speed", ("log", "best, µs", "median, µs", "tokens/s and core"), rows)
    ratios = [one / other for one, other in zip(figures["memory"], figures["Redis"], strict=True)]
    target("tokens/s and core beside memory", statistics.median(ratios), 0.85, "times", at_least=True)


def _first_token_s(process: Process, key: str | None) -> float:
    fields = {"question": "tokens=2 rate=500"} | ({"request_id": key} if key else {})
    with connect(process.port) as connection:
        begun = time.perf_counter()
        connection.sendall(post_bytes("/stream", fields))
        got = read_until(connection, b"T0")
        took_s = time.perf_counter() - begun
        if not got.endswith(b"0\r\n\r\n"):
            drain(connection)
        return took_s


def _round_trip_s(redis: Redis, repeats: int) -> float:
    took_s = []
    with connect(redis.process.port) as connection:
        for _ in range(repeats):
            begun = time.perf_counter()
            connection.sendall(b"PING\r\n")
            read_until(connection, b"PONG\r\n")
            took_s.append(time.perf_counter() - begun)
    return statistics.median(took_s)


def _first_token(processes: dict[str, Process], redis: Redis, repeats: int) -> None:
    trip_s = _round_trip_s(redis, repeats)
    rows: list[tuple[object, ...]] = [("a round trip to Redis", "", trip_s * 1e3, "")]
    for what, with_key, trips in (("without a key", False, 1), ("with a key", True, 3)):
        times_s: dict[str, list[float]] = {name: [] for name in NAMES}
        for number in range(repeats):
            for name, process in processes.items():
                key = f"{time.monotonic_ns()}-{number}" if with_key else None
                times_s[name].append(_first_token_s(process, key))
        rows += [(what, name, *(percentile(times_s[name][10:], each) * 1e3 for each in (50, 99))) for name in times_s]
        medians = {name: percentile(times_s[name][10:], 50) * 1e3 for name in NAMES}
        extra_ms = medians["Redis"] - medians["memory"]
        target(f"first token {what}, beyond memory", extra_ms, trips * trip_s * 1e3 + 0.4, "ms")
    table("Time to the first token", ("request", "log", "p50, ms", "p99, ms"), rows)


async def _append_us(log: RunLog, events: int) -> float:
    run = NewRun(id=f"bench{time.monotonic_ns()}", on_cancel=lambda by: None)
    await log.create(run)
    begun = time.process_time()
    token = [Token(" word")]
    for _ in range(events):
        log.append(run.id, token)
    took_s = time.process_time() - begun
    await log.close(run.id)
    return took_s / events * 1e6


async def _appends(redis: Redis, events: int, repeats: int) -> dict[str, float]:
    logs: dict[str, RunLog] = {"memory": MemoryLog(), "Redis": RedisLog(Settings(redis_url=redis.url))}
    took_us: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(repeats):
        for name, log in logs.items():
            took_us[name].append(await _append_us(log, events))
    await logs["Redis"].aclose()
    return {name: min(each) for name, each in took_us.items()}


def _used(redis: Redis) -> int:
    return sum(int(redis.client.memory_usage(key, samples=0) or 0) for key in redis.client.scan_iter("{memory}:*"))


async def _memory(redis: Redis, runs: int, tokens: int) -> tuple[float, float]:
    """KiB of Redis' memory for a run without text, and for the tokens of an answer, each in an entry of its own."""
    log = RedisLog(Settings(redis_url=redis.url, redis_prefix="memory"))
    ids = [f"{number:032x}" for number in range(runs)]
    for run_id in ids:
        await log.create(NewRun(id=run_id, on_cancel=lambda by: None, key=run_id))
    empty = _used(redis)
    for number in range(tokens):
        for run_id in ids:
            log.append(run_id, [Token(f" word{number % 10}")])
        await log.stored()
    full = _used(redis)
    await log.aclose()
    return empty / runs / 1024, (full - empty) / runs / 1024


def run(*, quick: bool) -> None:
    """The two logs take turns, so that both meet the same weather."""
    repeats, tokens = (5, 25_000) if quick else (9, 100_000)
    with ExitStack() as stack:
        source, redis = stack.enter_context(upstream()), stack.enter_context(store())
        urls = {"memory": {}, "Redis": {"LLMSTREAM_REDIS_URL": redis.url}}
        processes = {
            name: stack.enter_context(server("llmstream", source, LLMSTREAM_REPLAY_S="1", **urls[name]))
            for name in NAMES
        }
        _full_speed(processes, tokens, repeats)
        _first_token(processes, redis, 100 if quick else 500)
        appends = asyncio.run(_appends(redis, 50_000, repeats))
        empty, full = asyncio.run(_memory(redis, 50, 200 if quick else 1000))
    table("An append of one event", ("log", "µs"), list(appends.items()))
    target("an append beside memory", appends["Redis"] / appends["memory"], 1.3, "times")
    target("Redis' memory for a run without text", empty, 6, "KiB")
    target("for 1,000 tokens", full * (5 if quick else 1), 40, "KiB")
    replicas.run(quick=quick)
