"""Run the measurements: `python -m benchmarks [--quick] [--only NAME]`."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import (
    chains,
    encoders,
    first_token,
    gradio_chat,
    hosts,
    log,
    many,
    notebook,
    react_page,
    redis_log,
    startup,
    stopping,
    throughput,
    wait,
    watchers,
)

MEASUREMENTS: Mapping[str, Callable[..., None]] = {
    "throughput": throughput.run,
    "chains": chains.run,
    "log": log.run,
    "encoders": encoders.run,
    "first-token": first_token.run,
    "hosts": hosts.run,
    "many": many.run,
    "watchers": watchers.run,
    "stopping": stopping.run,
    "startup": startup.run,
    "gradio": gradio_chat.run,
    "notebook": notebook.run,
    "react": react_page.run,
    "redis": redis_log.run,
    "wait": wait.run,
}


def _machine() -> str:
    info = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), "?")
    load = " ".join(f"{figure:.1f}" for figure in os.getloadavg())
    return (
        f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}, load {load}"
    )


def main() -> None:
    """Each measurement prints its table, then its figures beside their targets."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repeats: a minute instead of ten")
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="only this one; may be given again")
    parser.add_argument("--streams", type=int, default=500, help="how many streams `many` opens (500)")
    parser.add_argument(
        "--chain", default="llmstream", choices=chains.CHAINS, help="which chain `many` and `first-token` ask"
    )
    arguments = parser.parse_args()
    print(_machine())
    cores: Any = os.sched_getaffinity(0)
    for name in arguments.only or MEASUREMENTS:
        os.sched_setaffinity(0, cores)  # a measurement may have moved this process
        measure = MEASUREMENTS[name]
        if name in ("many", "first-token"):
            measure = partial(measure, chain=arguments.chain)
        if name == "many":
            measure = partial(measure, streams=arguments.streams)
        measure(quick=arguments.quick)


if __name__ == "__main__":
    main()
