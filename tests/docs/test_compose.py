"""deploy/compose.yaml and deploy/nginx.conf: every command of theirs run here, on ports of this machine."""

from __future__ import annotations

import functools
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]

from llmstream.client import Client
from llmstream.demo_ollama import DemoOllama
from llmstream.events import Finished
from tests.support import ROOT
from tests.support.command import COMMAND, environment
from tests.support.faultkit import eventually
from tests.support.nginx import nginx
from tests.support.ports import free_port
from tests.support.redis import RedisServer

DEPLOY = ROOT / "deploy"
TOKEN = "secret"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """What the file starts."""
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return found


def variables(service: dict[str, Any], store: str, ollama: str) -> dict[str, str]:
    """The environment of a replica, with what a person sets."""
    found = {**service["environment"], "LLMSTREAM_TOKEN": TOKEN, "LLMSTREAM_ALLOWED_HOSTS": "localhost"}
    assert "redis://redis:6379" == found["LLMSTREAM_REDIS_URL"]
    assert "http://ollama:11434" == found["OLLAMA_HOST"]
    return {**found, "LLMSTREAM_REDIS_URL": store, "OLLAMA_HOST": ollama}


@pytest.fixture
def front(services: dict[str, Any], upstream: DemoOllama, tmp_path: Path) -> Iterator[tuple[str, list[Any]]]:
    """All of it; nginx's address, and the processes of the replicas."""
    program, *words = shlex.split(services["redis"]["command"])
    assert "redis-server" == program
    options = [f"{name.removeprefix('--')} {value}" for name, value in zip(words[::2], words[1::2], strict=True)]
    with ExitStack() as stack:
        store = stack.enter_context(RedisServer(tmp_path, *options))
        config, processes = (DEPLOY / "nginx.conf").read_text(), []
        for name in ("replica1", "replica2"):
            service, port = services[name], free_port()
            program, *words = shlex.split(service["command"])
            assert "llmstream" == program
            words = [str(port) if word == "8000" else word for word in words]
            environ = environment("", **variables(service, store.url, upstream.url))
            process = stack.enter_context(subprocess.Popen([*COMMAND, *words], cwd=ROOT, env=environ))
            stack.callback(process.kill)
            processes.append(process)
            config = config.replace(f"{name}:8000", f"127.0.0.1:{port}")
            assert eventually(functools.partial(_answers, port))
        here = free_port()
        stack.enter_context(
            nginx("", tmp_path, location="return 404;", http=config.replace("listen 80", f"listen {here}"))
        )
        yield f"http://localhost:{here}", processes


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", headers={"authorization": f"Bearer {TOKEN}"}).is_success
    except httpx.TransportError:
        return False


def test_the_file_does_what_it_says(front: tuple[str, list[Any]]) -> None:
    """A run that is started through nginx is followed and stopped through it; one replica may be told to stop."""
    url, processes = front
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert 401 == httpx.get(f"{url}/runs/x").status_code
    with httpx.Client(base_url=url, headers=headers) as client, Client(url, token=TOKEN) as ours:
        assert client.get("/health").json()["store"]["reachable"]
        for process in (None, processes[0]):
            if process is not None:
                process.terminate()
                assert process.wait(20) in (0, -signal.SIGTERM)
            for _ in range(4):
                run = client.post("/runs", json={"question": "q", "model": "demo:tokens-20"}).json()["run_id"]
                assert isinstance(list(ours.follow(run))[-1], Finished)


def test_the_shell_commands(services: dict[str, Any]) -> None:
    """The image is made of what this repository is, and the store is asked with its own program."""
    build = services["replica1"]["build"]
    assert ROOT == (DEPLOY / build["context"]).resolve()
    installed = re.search(r"pip install --no-cache-dir '/src\[(\w+)\]'", build["dockerfile_inline"])
    assert installed is not None
    assert f"\n{installed[1]} = [" in (ROOT / "pyproject.toml").read_text()
    assert "./nginx.conf:/etc/nginx/conf.d/default.conf:ro" in services["nginx"]["volumes"]
    program, *_ = shlex.split(services["redis"]["healthcheck"]["test"])
    assert program == "redis-cli"
