"""One stream at full speed: CPU of the server process per token, from Ollama's socket to the client's."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.client import connect, drain, request_bytes
from benchmarks.processes import OPENAI, Process, server, upstream
from benchmarks.report import percentile, table, target

NAMES = ("pass-through", "bare loop", "llmstream", OPENAI, "usual way")


def cpu_us(process: Process, tokens: int) -> float:
    """CPU of the server for one answer of so many tokens, in µs per token."""
    before = process.cpu_s()
    with connect(process.port) as connection:
        connection.sendall(request_bytes(f"tokens={tokens}"))
        size = drain(connection)
    if size < 5 * tokens:
        raise RuntimeError(f"only {size} bytes for {tokens} tokens")
    return (process.cpu_s() - before) / tokens * 1e6


def run(*, quick: bool) -> None:
    """Best and median of several answers, the servers taking turns."""
    repeats = 3 if quick else 9
    tokens = {name: 100_000 // (4 if quick else 1) // (10 if name == "usual way" else 1) for name in NAMES}
    figures: dict[str, list[float]] = {name: [] for name in NAMES}
    with ExitStack() as stack:
        source = stack.enter_context(upstream())
        processes = {name: stack.enter_context(server(name, source, LLMSTREAM_REPLAY_S="1")) for name in NAMES}
        for number in range(repeats + 1):
            for name, process in processes.items():
                took_us = cpu_us(process, tokens[name])
                if number:  # the first answer warms it up
                    figures[name].append(took_us)
    medians = {name: percentile(figures[name], 50) for name in NAMES}
    loop = medians["bare loop"]
    table(
        "CPU per token, one stream at full speed",
        ("server", "best, µs", "median, µs", "tokens/s and core", "× bare loop"),
        [(name, min(figures[name]), medians[name], 1e6 / medians[name], medians[name] / loop) for name in NAMES],
    )
    target("CPU per token", medians["llmstream"], 3, "µs")
    target("CPU per token from OpenAI's stream", medians[OPENAI] / medians["llmstream"], 1.5, "times Ollama's")
    target("CPU per token beside the bare loop", medians["llmstream"] / loop, 2, "times")


if __name__ == "__main__":
    run(quick=False)
