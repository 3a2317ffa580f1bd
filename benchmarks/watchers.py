"""Many watchers of one run: memory of idle ones, CPU of busy ones, and 1,000 that come back at once."""

from __future__ import annotations

import asyncio
import re
import time

from benchmarks import crowd
from benchmarks.client import get_bytes
from benchmarks.processes import Process, server, upstream
from benchmarks.report import table, target

_RUN_ID = re.compile(rb"id: ([0-9a-z]+)-(\d+)\n")


def start(process: Process, question: str) -> str:
    """A run's id."""
    return str(process.ask("POST", "/runs", {"question": question, "on_leave": "continue"})["run_id"])


async def _idle(process: Process, run_id: str, watchers: int) -> float:
    """Bytes of resident memory for so many watchers of a run in which next to nothing happens."""
    request = get_bytes(f"/runs/{run_id}/events")
    before = process.rss_bytes()
    crowded = [await crowd.watch(process.port, request) for _ in range(watchers)]
    for watcher in crowded:
        await watcher.saw(b"event: token")
    after = process.rss_bytes()
    for watcher in crowded:
        watcher.transport.abort()
    return float(after - before)


async def _busy(process: Process, question: str, watchers: int) -> float:
    """CPU seconds of a whole run that so many watch."""
    run_id = start(process, question)
    request = get_bytes(f"/runs/{run_id}/events")
    crowded = [await crowd.watch(process.port, request) for _ in range(watchers)]
    cpu_s = process.cpu_s()
    await asyncio.gather(*(watcher.done for watcher in crowded))
    if not all(watcher.complete and watcher.size > 1000 for watcher in crowded):
        raise RuntimeError("a watcher did not get the whole answer")
    return process.cpu_s() - cpu_s


async def reconnect(process: Process, run_id: str, clients: int, within_s: float) -> list[float]:
    """Cut so many watchers, have them come back with their last id within so many seconds; how long each waited."""
    request = get_bytes(f"/runs/{run_id}/events")
    crowded = [await crowd.watch(process.port, request) for _ in range(clients)]
    for watcher in crowded:
        await watcher.saw(b"event: token")
    for watcher in crowded:
        watcher.transport.abort()
    loop, begun = asyncio.get_running_loop(), asyncio.get_running_loop().time() + 1

    async def come_back(number: int, first: bytes) -> float:
        seen = _RUN_ID.findall(first)[-1]
        again = b"GET /runs/%b/events HTTP/1.1\r\nhost: 127.0.0.1\r\nlast-event-id: %b-%b\r\n\r\n" % (seen[0], *seen)
        await asyncio.sleep(begun + number * within_s / clients - loop.time())
        asked = time.monotonic()
        watcher = await crowd.watch(process.port, again)
        wanted = b"id: %b-%d\n" % (seen[0], int(seen[1]) + 1)
        await watcher.saw(wanted)
        waited = time.monotonic() - asked
        watcher.transport.abort()
        return waited

    return await asyncio.gather(*(come_back(number, watcher.first) for number, watcher in enumerate(crowded)))


def run(*, quick: bool) -> None:
    """Each part on a server of its own."""
    idle, busy, clients = (500, 100, 300) if quick else (2000, 100, 1000)
    with upstream() as source:
        with server("llmstream", source) as process:
            extra = crowd.run(_idle(process, start(process, "tokens=3000 rate=1"), idle)) / 2**20
        with server("llmstream", source) as process:
            chats = source.ask("GET", "/stats")["chats"]
            alone_s, crowd_s = (crowd.run(_busy(process, "tokens=500 rate=100", count)) for count in (1, busy))
            asked = source.ask("GET", "/stats")["chats"] - chats
        with server("llmstream", source) as process:
            chats = source.ask("GET", "/stats")["chats"]
            run_id = start(process, "tokens=100000 rate=50")
            waited = crowd.run(reconnect(process, run_id, clients, 1))
            new = source.ask("GET", "/stats")["chats"] - chats - 1
    _report(idle, extra, busy, alone_s, crowd_s, asked - 1, waited, new)


def _report(
    idle: int, extra: float, busy: int, alone_s: float, crowd_s: float, asked: int, waited: list[float], new: int
) -> None:
    clients = len(waited)
    rows: list[tuple[object, ...]] = [
        (f"{idle} idle watchers of one run: resident memory", extra, "MiB"),
        (f"{busy} watchers of one run: requests to Ollama", asked, ""),
        (
            f"CPU of a run of 500 tokens, 1 watcher → {busy} watchers",
            f"{alone_s * 1e3:.0f} → {crowd_s * 1e3:.0f}",
            "ms",
        ),
        ("CPU of one more watcher, per token", (crowd_s - alone_s) / (busy - 1) / 500 * 1e6, "µs"),
        (f"{clients} reconnects in 1 s: longest wait for the next event", max(waited) * 1e3, "ms"),
        ("of them, new requests to Ollama", new, ""),
    ]
    table("Watchers", ("", "", "unit"), rows)
    target("memory of idle watchers", extra, 100, "MiB")
    target("the slowest reconnect", max(waited), 5, "s")
    target("new runs after reconnects", new, 0, "")
