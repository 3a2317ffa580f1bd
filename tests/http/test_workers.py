"""Several processes under uvicorn's own `--workers`: with a store they are one server, without one they say so."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from llmstream.demo_ollama import DemoOllama
from tests.support import ROOT
from tests.support.command import environment
from tests.support.faultkit import Exchange, ask, eventually, start
from tests.support.redis import RedisServer
from tests.support.serving import generations

APP = ("-m", "uvicorn", "--factory", "llmstream.fastapi:create_app", "--port", "0")


class Uvicorn:
    """A running uvicorn, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.said: list[str] = []
        self.process = process
        self._lines: queue.Queue[str] = queue.Queue()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()
        self.url = re.findall(r"running on (http://\S+)", self.until("running on "))[0]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)

    def until(self, wanted: str, times: int = 1) -> str:
        """Wait until it has said this so often; the last line that says it."""
        while True:
            found = [line for line in self.said if wanted in line]
            if len(found) >= times:
                return found[-1]
            self.said.append(self._lines.get(timeout=60))

    def stop(self) -> None:
        """Have it end all of its processes."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(40) in (0, -signal.SIGTERM)
        self._reading.join(10)


@contextmanager
def uvicorn(upstream: DemoOllama, workers: int, *words: str, **variables: str) -> Iterator[Uvicorn]:
    """The app of `create_app` in so many processes, each of which has begun."""
    command = [sys.executable, *APP, *words]
    fixed = {"LLMSTREAM_DEMO": "never", "LLMSTREAM_DRAIN_S": "0.2", "LLMSTREAM_GRACE_S": "5"}
    with subprocess.Popen(
        command, cwd=ROOT, env={**environment(upstream.url), **fixed, **variables}, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            found = Uvicorn(process)
            found.until("startup complete", workers)
            yield found
            found.stop()
        finally:
            process.kill()


def pids(found: Uvicorn) -> list[int]:
    """The processes that serve."""
    return [int(pid) for line in found.said for pid in re.findall(r"Started server process \[(\d+)\]", line)]


def test_workers_are_one_server(upstream: DemoOllama, redis_server: RedisServer) -> None:
    """One key at all of them starts one generation; any follows, resumes and stops; one that dies ends its own runs."""
    variables = {"LLMSTREAM_REDIS_URL": redis_server.url, "LLMSTREAM_REDIS_PREFIX": "uvicorn", "LLMSTREAM_LEASE_S": "1"}
    with uvicorn(upstream, 4, "--workers", "4", **variables) as served:
        with ThreadPoolExecutor(12) as pool:
            asked = {"question": "q", "model": "demo:tokens-300", "request_id": "k"}
            runs = set(pool.map(lambda _: start(served.url, **asked), range(24)))
            assert 1 == len(runs)
            assert 1 == generations(upstream)
            (run,) = runs
            events = f"{served.url}/runs/{run}/events"
            whole = ask(events)
            assert "finished" == whole.types[-1]
            rests = list(pool.map(lambda after: ask(f"{events}?after={after}").body, range(0, 300, 25)))
        assert all(whole.body.endswith(rest.partition(b"\n\n")[2]) for rest in rests)

        run = start(served.url, question="q", model="demo:stall-3", on_leave="continue")
        assert 202 == ask(f"{served.url}/runs/{run}/stop", "POST").status
        assert "cancelled" == ask(f"{served.url}/runs/{run}/events").types[-1]

        run = start(served.url, question="q", model="demo:stall-3", on_leave="continue")
        for pid in pids(served):
            os.kill(pid, signal.SIGKILL)
        served.until("startup complete", 8)
        assert eventually(lambda: ask(f"{served.url}/runs/{run}").json["state"] == "failed")
        assert "owner_lost" in ask(f"{served.url}/runs/{run}/events").body.decode()


@pytest.mark.parametrize(
    ("words", "variables"), [(("--workers", "2"), {}), ((), {"WEB_CONCURRENCY": "2"})], ids=["--workers", "variable"]
)
def test_workers_without_a_store_are_warned_of(
    upstream: DemoOllama, words: tuple[str, ...], variables: dict[str, str]
) -> None:
    """Each process says at its start what will happen, and with what to mend it; no second generation is begun."""
    with uvicorn(upstream, 2, *words, **variables) as served:
        warning = served.until("LLMSTREAM_REDIS_URL", 2)
        assert "there are 2 processes" in warning
        run = start(served.url, question="q", model="demo:tokens-20", on_leave="continue")
        statuses = {ask(f"{served.url}/runs/{run}/events").status for _ in range(10)}
        assert statuses <= {200, 404}
        with Exchange(f"{served.url}/runs/{'0' * 32}/events") as unknown:
            assert 404 == unknown.head().status
        assert 1 == generations(upstream)


def test_one_process_is_not_warned(upstream: DemoOllama) -> None:
    """Who runs one process has nothing to set."""
    with uvicorn(upstream, 1, "--workers", "1") as served:
        pass
    assert not [line for line in served.said if "LLMSTREAM_REDIS_URL" in line]
