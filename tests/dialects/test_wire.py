"""Golden transcripts: the bytes of whole streams, kept in `tests/data/wire/` for the tests of every client.

LLMSTREAM_TEST_UPDATE=1 writes them anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.faultkit import Exchange, ask, following, start
from tests.support.golden import RUN, WIRE, golden, normal
from tests.support.message_runs import RUNS
from tests.support.serving import serving

# Each is a model of the demo Ollama, or how its stream is made below.
SCENARIOS = (
    "one-chunk", "newlines", "separators", "split-surrogate", "thinking", "thinking-only", "tool-call", "length",
    "empty", "prompt-cut", "cut", "error-line", "half-json", "stopped", "queued", "resumed", "reset",
)  # fmt: skip


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One server with one place, so that a queue can be seen."""
    with DemoOllama(tokens_per_s=None, scenarios=True) as upstream:
        settings = Settings(ollama_url=upstream.url, demo="never", max_active_runs=1, hold_s=0, drain_s=0)
        with serving(create_app(settings)) as served:
            yield served.url


def transcripts(url: str, scenario: str) -> dict[str, Exchange]:
    """A scenario's stream in both dialects, of one run."""
    if scenario == "queued":
        busy = start(url, question="q", model="demo:silent")
        run = start(url, question="q", model="demo:tokens-2")
        with following(url, run) as waiting:
            waiting.until(lambda exchange: "status" in exchange.types)
            ask(f"{url}/runs/{busy}/stop", "POST")
            waiting.all()
    elif scenario == "stopped":
        run = start(url, question="q", model="demo:stall-3")
        with following(url, run) as watching:
            watching.until(lambda exchange: exchange.text == " 1 2 3")
            ask(f"{url}/runs/{run}/stop", "POST")
            watching.all()
    else:
        name = "one-chunk" if scenario in ("resumed", "reset") else scenario
        run = start(url, question="q", model=f"demo:{name}", thinking="thinking" in name or None)
        ask(f"{url}/runs/{run}/events")
    position = {"resumed": 5, "reset": 999}.get(scenario, 0)
    headers = {"last-event-id": f"{run}-{position}"}
    return {
        "native": ask(f"{url}/runs/{run}/events", headers=headers),
        "plain": ask(f"{url}/stream-with-post", "POST", headers=headers, question="q"),
    }


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_bytes_are_those_of_the_transcript(scenario: str, url: str) -> None:
    """Byte for byte, but for ids and times."""
    for dialect, stream in transcripts(url, scenario).items():
        run = stream.headers.get("x-run-id") or re.findall(r"[0-9a-f]{32}", stream.body.decode() + RUN)[0]
        golden(f"{dialect}_{scenario.replace('-', '_')}", normal(stream.body, run), fixed=True)


def test_there_is_no_other_transcript() -> None:
    """What lies in the folder is compared."""
    names = [*(scenario.replace("-", "_") for scenario in SCENARIOS), *RUNS]
    expected = {f"{dialect}_{name}.txt" for name in names for dialect in ("native", "plain")}
    expected.add("native_owner_lost.txt")  # by the tests of replicas
    assert expected == {path.name for path in WIRE.iterdir() if path.name.startswith(("native", "plain"))}
