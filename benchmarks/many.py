"""Many streams at reading speed through one core: how late each token comes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from benchmarks import crowd
from benchmarks.client import request_bytes
from benchmarks.processes import Process, others_cpu_s, server, upstream
from benchmarks.report import percentile, table, target

RATE = 50
_START_GAP_S = 0.006
_SETTLE_S = 2.0


@dataclass
class _Figures:
    """Seconds of lateness; the share of a core that the server took; the cores that anybody else took."""

    late_s: list[float]
    cpu: float
    others: float


async def _watch_all(process: Process, source: Process, streams: int, seconds: float) -> _Figures:
    """Start the streams one after the other; once all have begun, count for some seconds."""
    lateness = crowd.Lateness()
    request = request_bytes(f"tokens=1000000 rate={RATE}")  # more than anybody waits for
    watchers = []
    for _ in range(streams):
        watchers.append(await crowd.watch(process.port, request, lateness.on_data))
        await asyncio.sleep(_START_GAP_S)
    for watcher in watchers:  # a busy server accepts slowly: what has not begun would not count, nor cost anything
        await watcher.saw(b"T0")
    await asyncio.sleep(_SETTLE_S)
    others_s, cpu_s, lateness.counts = others_cpu_s(process, source), process.cpu_s(), True
    await asyncio.sleep(seconds)
    cpu_s, lateness.counts = process.cpu_s() - cpu_s, False
    others_s = others_cpu_s(process, source) - others_s
    if any(watcher.done.done() for watcher in watchers):
        raise RuntimeError(f"a stream ended early: {next(w.first for w in watchers if w.done.done())[:500]!r}")
    for watcher in watchers:
        watcher.transport.abort()
    return _Figures(lateness.late_s, cpu_s / seconds, others_s / seconds)


def run(*, quick: bool, streams: int = 500, chain: str = "llmstream") -> None:
    """Pass-through and a chain, "llmstream" being the default one, or another of `chains.CHAINS`.

    The two servers one after the other, several times; of each the round counts that others disturbed least.
    """
    seconds, rounds = (5, 1) if quick else (10, 5)
    best: dict[str, _Figures] = {}
    limits = {"LLMSTREAM_MAX_ACTIVE_RUNS": str(streams), "LLMSTREAM_GRACE_S": "0"}
    for _ in range(rounds):
        for name in ("pass-through", chain):
            with upstream() as source, server(name, source, **limits) as process:
                figures = crowd.run(_watch_all(process, source, streams, seconds))
            if name not in best or figures.others < best[name].others:
                best[name] = figures
    _report(best, streams)


def _report(best: dict[str, _Figures], streams: int) -> None:
    rows = []
    for name, figures in best.items():
        late = [percentile(figures.late_s, percent) * 1e3 for percent in (50, 99, 99.9, 100)]
        rows.append((name, len(figures.late_s), *late, f"{figures.cpu:.0%}", f"{figures.others:.0%}"))
    table(
        f"{streams} streams at {RATE} tokens/s: lateness of a token at the client",
        ("server", "tokens", "p50, ms", "p99, ms", "p99.9, ms", "max, ms", "CPU of its core", "others' CPU"),
        rows,
    )
    theirs, ours = (figures.late_s for figures in best.values())
    target("p99 of the lateness", percentile(ours, 99) * 1e3, 100, "ms")
    target("p99 beside pass-through", percentile(ours, 99) / percentile(theirs, 99), 2, "times")
    target("longest pause", max(ours) * 1e3, 100, "ms")


if __name__ == "__main__":
    run(quick=True)
