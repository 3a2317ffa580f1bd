"""Time to the first token beside a bare pass-through, one request at a time."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

from benchmarks.client import connect, drain, read_until, request_bytes
from benchmarks.processes import OPENAI, USUAL_GRAPH, server, upstream
from benchmarks.report import percentile, table, target

# The second token comes 2 ms after the first, so that the first one is not held by what follows it.
_REQUEST = request_bytes("tokens=2 rate=500")


def first_token_s(connection: socket.socket) -> float:
    """From the request to the first token, in seconds; the rest is read too."""
    begun = time.perf_counter()
    connection.sendall(_REQUEST)
    got = read_until(connection, b"T0")
    took = time.perf_counter() - begun
    if not got.endswith(b"0\r\n\r\n"):
        drain(connection)
    return took


def run(*, quick: bool, chain: str = "llmstream") -> None:
    """Pass-through, the default chain, and another of `chains.CHAINS`, taking turns to meet the same weather.

    Beside a graph, a graph in the usual way: the time that LangGraph itself takes.
    """
    usual = (USUAL_GRAPH,) if chain.startswith("graph") else ()
    names = tuple(dict.fromkeys(("pass-through", "llmstream", OPENAI, chain, *usual)))
    repeats = 100 if quick else 1000
    times_s: dict[str, list[float]] = {name: [] for name in names}
    cpu_s = dict.fromkeys(names, 0.0)
    with ExitStack() as stack:
        source = stack.enter_context(upstream())
        processes = {name: stack.enter_context(server(name, source)) for name in names}
        connections = {name: stack.enter_context(connect(process.port)) for name, process in processes.items()}
        for number in range(repeats + 20):
            for name in names:
                before_s = processes[name].cpu_s()
                took = first_token_s(connections[name])
                if number >= 20:
                    cpu_s[name] += processes[name].cpu_s() - before_s
                    times_s[name].append(took)
    rows = [
        (name, *(percentile(times_s[name], each) * 1e3 for each in (10, 50, 99)), cpu_s[name] / repeats * 1e3)
        for name in names
    ]
    table(
        "Time to the first token, and CPU of a request with two tokens",
        ("server", "p10, ms", "p50, ms", "p99, ms", "CPU, ms"),
        rows,
    )
    bare, default, openai, *other = (percentile(times_s[name], 50) * 1e3 for name in names)
    target("median beyond pass-through", default - bare, 0.7, "ms")
    target("median from OpenAI's stream beyond Ollama's", openai - default, 0.2, "ms")
    if other:
        target("median beyond the default chain", other[0] - default, 1, "ms")


if __name__ == "__main__":
    run(quick=False)
