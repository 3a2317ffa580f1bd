"""The Gradio chat over its own protocol: CPU of one chat, and many users at once, each reading live."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import Any

from benchmarks import crowd
from benchmarks.client import get_bytes, post_bytes
from benchmarks.processes import MODEL, Process, server, upstream
from benchmarks.report import percentile, table, target

_API = "/gradio/gradio_api"
_ANSWERS = "answer"
_SETTLE_S = 2.0


def _function(process: Process) -> int:
    """The number of the function that answers, as the page's own script knows it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{process.port}/gradio/config", timeout=30) as response:
        functions = json.load(response)["dependencies"]
    return int(next(each["id"] for each in functions if each["api_name"] == _ANSWERS))


async def _ask(process: Process, function: int, user: str, question: str, lateness: crowd.Lateness) -> crowd.Watcher:
    """Ask as the page does: join the queue, then read what comes for this session."""
    message = {"role": "user", "content": [{"type": "text", "text": question}], "metadata": None, "options": None}
    data: list[Any] = [[message], MODEL, "", "", False]
    fields = {"data": data, "event_data": None, "fn_index": function, "trigger_id": 0, "session_hash": user}
    joined = await crowd.watch(process.port, post_bytes(f"{_API}/queue/join", fields))
    await joined.saw(b"event_id")
    joined.transport.abort()
    return await crowd.watch(process.port, get_bytes(f"{_API}/queue/data?session_hash={user}"), lateness.on_data)


async def _users(process: Process, users: int, rate: int, seconds: float) -> tuple[float, float, list[float], int]:
    """The share of a core at rest and with so many users, how late tokens came, and the users that saw some."""
    function = await asyncio.to_thread(_function, process)
    idle_s = process.cpu_s()
    await asyncio.sleep(seconds)
    idle_s = process.cpu_s() - idle_s
    each = [crowd.Lateness() for _ in range(users)]
    question = f"tokens=1000000 rate={rate}"
    watchers = [await _ask(process, function, f"user{n}", question, each[n]) for n in range(users)]
    for watcher in watchers:
        await watcher.saw(b"T0")
    await asyncio.sleep(_SETTLE_S)
    cpu_s = process.cpu_s()
    for lateness in each:
        lateness.counts = True
    await asyncio.sleep(seconds)
    cpu_s = process.cpu_s() - cpu_s
    live = sum(len(lateness.late_s) > 0.9 * seconds * rate for lateness in each)
    for watcher in watchers:
        watcher.transport.abort()
    return idle_s / seconds, cpu_s / seconds, [late for lateness in each for late in lateness.late_s], live


def run(*, quick: bool) -> None:
    """One chat at 100 tokens/s, and 20 at 30."""
    seconds = 5.0 if quick else 20.0
    rows = []
    for users, rate in ((1, 100), (20, 30)):
        with upstream() as source, server("gradio", source, LLMSTREAM_MAX_ACTIVE_RUNS="32") as process:
            idle, cpu, late_s, live = crowd.run(_users(process, users, rate, seconds))
        late = [percentile(late_s, percent) * 1e3 for percent in (50, 99, 100)]
        rows.append((f"{users} at {rate} tokens/s", f"{idle:.1%}", f"{cpu:.1%}", *late, live))
    head = ("users", "CPU at rest", "CPU", "late p50, ms", "late p99, ms", "late max, ms", "users whose text was live")
    table("The Gradio chat: CPU of a core, and how late a token is at the page", head, rows)
    target("CPU of one chat", float(str(rows[0][2]).rstrip("%")), 6, "% of a core")


if __name__ == "__main__":
    run(quick=True)
