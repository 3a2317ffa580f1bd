"""Fixtures: an Ollama with scripted answers and faults, a real Ollama, and a server around an app."""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import httpx._transports.default
import httpx2._transports.default
import pytest
from fastapi import FastAPI

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.settings import Settings
from tests.support.lacking import lacking
from tests.support.real_ollama import RealOllama, find_ollama
from tests.support.schedule import make_schedule, place_of
from tests.support.serving import Served, serving
from tests.support.sky import SKY
from tests.support.worker import forking_python

if TYPE_CHECKING:
    from tests.support.redis import RedisServer

# A client of httpx reads the certificates of all the world, and a ChatOllama has two of them: a tenth of a second in
# every test that makes one, for connections to this machine. Those of OpenAI and Anthropic stand on httpx2.
for transports in (httpx._transports.default, httpx2._transports.default):
    transports.create_ssl_context = functools.lru_cache(transports.create_ssl_context)  # type: ignore[attr-defined]

# jsonschema, which Jupyter's packages import, would build two dozen grammars with it: three seconds in every process.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

# A shell without job control has what it starts in the background ignore Ctrl-C, and so would every process of a test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test sees the settings, tracers or proxies of the person who runs it; nor does what is made before the first one.
for name in list(os.environ):
    if name.startswith(("LLMSTREAM_", "OLLAMA_", "LANGCHAIN_", "LANGSMITH_")) and "_TEST_" not in name:
        del os.environ[name]
# Nothing answers here: a test that asks for an Ollama by mistake must not find a person's own.
os.environ["OLLAMA_HOST"] = "127.0.0.1:9"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: list[Any]) -> None:
    """The processes share what they import."""
    if sys.platform == "linux":  # elsewhere a fork is not safe
        stack = ExitStack()
        config.add_cleanup(stack.close)
        python = stack.enter_context(forking_python())
        for spec in specs:
            spec.python, spec.execmodel = python, "main_thread_only"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where there are several processes, `-n` alone is enough."""
    return make_schedule(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest is begun first, so that no process waits for another one at the end."""
    items.sort(key=lambda item: place_of(item.nodeid))


def pytest_collection_finish() -> None:
    """What the test modules have imported is for good: each server that starts would walk all of it for garbage."""
    gc.collect()
    gc.freeze()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A failure is told at once: where the whole run is ended from outside, nothing else tells of it."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\nFAILED {report.nodeid} ({report.when})\n{report.longreprtext[-2000:]}", file=sys.stderr, flush=True)


@pytest.fixture
def upstream() -> Iterator[DemoOllama]:
    """The demo Ollama at full speed, with its fault scenarios `demo:…`."""
    with DemoOllama(tokens_per_s=None, scenarios=True) as server:
        yield server


@pytest.fixture
def ollama(upstream: DemoOllama, monkeypatch: pytest.MonkeyPatch) -> DemoOllama:
    """The demo Ollama, which is found in the environment."""
    monkeypatch.setenv("OLLAMA_HOST", upstream.url)
    return upstream


@pytest.fixture
def sky(ollama: DemoOllama) -> None:
    """The demo Ollama, in the environment, says why the sky is blue."""
    ollama.answers[SKY] = SENTENCE


@pytest.fixture
def settings(upstream: DemoOllama) -> Settings:
    """Settings that point to `upstream`; a server that is stopped waits for no run that a test has left."""
    return Settings(ollama_url=upstream.url, demo="never", drain_s=0)


@pytest.fixture(scope="session")
def real_ollama_server() -> Iterator[RealOllama]:
    """A real Ollama for the whole session; see `real_ollama`."""
    with _started_ollama() as server:
        yield server


@pytest.fixture
def own_real_ollama() -> Iterator[RealOllama]:
    """A real Ollama of the test's own, to be killed, or left in the middle of an answer.

    Ollama 0.24 may take a client that leaves so badly that the model answers nobody any more
    (https://github.com/ollama/ollama/issues/17131): the faster the model, the likelier, and ours is very fast.
    """
    with _started_ollama() as server:
        yield server


@contextmanager
def _started_ollama() -> Iterator[RealOllama]:
    binary = find_ollama()
    if binary is None:
        lacking("Ollama", "put `ollama` on PATH, or build one: bash tests/support/ollama/build.sh .cache/ollama")
    assert binary is not None
    with RealOllama(binary) as server:
        yield server


@pytest.fixture
def real_ollama(real_ollama_server: RealOllama) -> RealOllama:
    """A real Ollama with the models `tiny-chat` and `tiny-plain`."""
    return real_ollama_server


@pytest.fixture
def real_settings(real_ollama: RealOllama) -> Settings:
    """Settings that point to the real Ollama and make its answers exact."""
    return Settings(ollama_url=real_ollama.url, model="tiny-chat", temperature=0, demo="never")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for the whole session, which nobody harms; tests share it by prefixes of their own."""
    from tests.support.redis import RedisServer

    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def serve() -> Iterator[Callable[[FastAPI], Served]]:
    """Serves an app of `create_app` on a free port, in a thread, until the test ends."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(serving(app))
