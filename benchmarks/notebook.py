"""Answers in a notebook, in real kernels: bytes on the wire, CPU of the kernel, and how soon a stop frees the model."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import OTHERS_CORE, SERVER_CORE
from benchmarks.report import percentile, table, target
from llmstream.demo_ollama import DemoOllama
from tests.support.kernels import Kernel, running_kernel

_TOKENS = 2000
_TIMEOUT_S = 120.0


@contextmanager
def _kernel(ollama: DemoOllama, *, old: bool) -> Iterator[Kernel]:
    """A kernel on the measured core; its front end, and the demo Ollama, are this process, on the other one."""
    os.sched_setaffinity(0, {SERVER_CORE})
    with (
        tempfile.TemporaryDirectory() as folder,
        running_kernel(Path(folder), ollama_url=ollama.url, old=old) as kernel,
    ):
        os.sched_setaffinity(0, {OTHERS_CORE})
        kernel.run("import time, ipykernel")
        yield kernel


def _name(kernel: Kernel) -> str:
    return f"ipykernel {kernel.value('ipykernel.__version__')}"


def _answer(kernel: Kernel) -> tuple[float, int, float]:
    """Bytes, updates, and the share of a core that an answer took."""
    kernel.sent_bytes = kernel.updates = 0
    began, cpu_s = time.monotonic(), kernel.value("time.process_time()")
    kernel.run(f"await show('Why?', model='demo:tokens-{_TOKENS}')", timeout_s=_TIMEOUT_S)
    took_s = time.monotonic() - began
    sent_bytes, updates = kernel.sent_bytes, kernel.updates
    return sent_bytes / 1e6, updates, (kernel.value("time.process_time()") - cpu_s) / took_s


def _stop_s(kernel: Kernel, ollama: DemoOllama, stop: Callable[[], None]) -> float:
    """From the press of a button to the end of the connection to Ollama, in the middle of an answer."""
    cell = kernel.begin("await show('Why?', model='demo:endless-100')")
    kernel.wait(lambda: any("10" in bundle.get("text/markdown", "") for bundle in cell.bundles))
    asked = time.monotonic()
    stop()
    if not ollama.wait_idle(timeout_s=10):
        raise RuntimeError("the connection to the upstream was not closed within 10 s")
    took_s = time.monotonic() - asked
    kernel.wait(lambda: cell.done)
    return took_s


def _measure_answers(rates: tuple[int, ...]) -> None:
    rows: list[tuple[str, int, float, int, float]] = []
    for old in (True, False):
        for rate in rates:
            with DemoOllama(tokens_per_s=rate, scenarios=True) as ollama, _kernel(ollama, old=old) as kernel:
                sent_mb, updates, cpu = _answer(kernel)
                rows.append((_name(kernel), rate, sent_mb, updates, cpu * 100))
    head = ("kernel", "tokens/s", "MB on the wire", "updates", "CPU, % of a core")
    table(f"An answer of {_TOKENS:,} tokens in a cell", head, rows)
    target("bytes on the wire", max(row[2] for row in rows), 0.7, "MB")
    target("CPU of the kernel", max(row[4] for row in rows), 5, "% of a core")


def _measure_stops(repeats: int) -> None:
    rows: list[tuple[str, float, float, float]] = []
    with DemoOllama(scenarios=True) as ollama:
        for old, ways in ((True, ("interrupt",)), (False, ("interrupt", "Stop"))):
            with _kernel(ollama, old=old) as kernel:
                for way in ways:
                    stop = kernel.interrupt if way == "interrupt" else lambda: kernel.press("Stop")
                    took_s = [_stop_s(kernel, ollama, stop) for _ in range(repeats)]
                    p50, p99, slowest = (percentile(took_s, percent) * 1e3 for percent in (50, 99, 100))
                    rows.append((f"{way}, {_name(kernel)}", p50, p99, slowest))
    table("To the end of the connection to Ollama", ("after", "p50, ms", "p99, ms", "max, ms"), rows)
    target("slowest stop", max(row[3] for row in rows), 250, "ms")


def run(*, quick: bool) -> None:
    """A long answer at the pace of a model, and stops one after the other, in both kernels that are supported."""
    _measure_answers((100,) if quick else (50, 100))
    _measure_stops(10 if quick else 50)


if __name__ == "__main__":
    run(quick=True)
