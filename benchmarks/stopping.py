"""From a stop, or the last client's leaving, to the end of the connection to Ollama."""

from __future__ import annotations

import time

from benchmarks.client import connect, get_bytes, read_until, request_bytes
from benchmarks.processes import Process, server, upstream
from benchmarks.report import percentile, table, target
from benchmarks.watchers import start

_QUESTION = "tokens=100000 rate=100"


def _cut_at(source: Process, count: int) -> float:
    """When the upstream lost its connection number `count`."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        cuts: list[float] = source.ask("GET", "/stats")["cut_at"]
        if len(cuts) >= count:
            return cuts[count - 1]
        time.sleep(0.005)
    raise RuntimeError("the connection to the upstream was not closed within 10 s")


def _stop_s(source: Process, process: Process, count: int) -> float:
    run_id = start(process, _QUESTION)
    with connect(process.port) as watcher:
        watcher.sendall(get_bytes(f"/runs/{run_id}/events"))
        read_until(watcher, b"T0")
        asked = time.monotonic()
        process.ask("POST", f"/runs/{run_id}/stop")
        read_until(watcher, b"event: cancelled")
    return _cut_at(source, count) - asked


def _leave_s(source: Process, process: Process, count: int) -> float:
    with connect(process.port) as watcher:
        watcher.sendall(request_bytes(_QUESTION))
        read_until(watcher, b"T0")
        left = time.monotonic()
    return _cut_at(source, count) - left


def run(*, quick: bool) -> None:
    """One after the other, with a grace time of nothing."""
    repeats = 50 if quick else 200
    rows = []
    for name, measure in (("stop", _stop_s), ("the last client leaves", _leave_s)):
        with upstream() as source, server("llmstream", source, LLMSTREAM_GRACE_S="0") as process:
            took_s = [measure(source, process, count) for count in range(1, repeats + 1)]
        p50, p99, slowest = (percentile(took_s, percent) * 1e3 for percent in (50, 99, 100))
        rows.append((name, p50, p99, slowest))
    table("To the end of the connection to Ollama", ("after", "p50, ms", "p99, ms", "max, ms"), rows)
    for name, _, p99, _ in rows:
        target(f"p99 after {name}", p99, 250, "ms")
