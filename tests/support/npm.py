"""Folders of tests that stand on npm packages: installed and built once, in `.cache`, and their Node programs run."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmstream import stream
from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support import ROOT
from tests.support.lacking import lacking
from tests.support.serving import get, serving

CLIENTS = ROOT / "tests" / "clients" / "programs"
# What a client must give back to the letter.
EXACT = "\n  Né\r\n\n日本語 👩\u200d👩\u200d👧\u200d👦 👍🏽 \x85\u2028\u2029\ufeff</p> & ok.\n\n"
# What the programs ask a real model.
QUESTION = "What color is the sky?"
# Where no Ollama answers.
NOBODY = "http://127.0.0.1:9"

_CACHE = ROOT / ".cache" / "npm"
_INSTALLED = ("package.json", "package-lock.json", ".npmrc")
_COMMAND_TIMEOUT_S = 300.0
_PROGRAM_TIMEOUT_S = 60.0


@functools.cache
def built(sources: Path, *scripts: str) -> Path:
    """A copy of a folder with its packages, on which these scripts of its package.json ran; made when it changed."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        lacking("Node", "put `node` and `npm` (version 20 or later) on PATH")
    files = sorted(path for path in sources.rglob("*") if path.is_file() and "node_modules" not in path.parts)
    with _alone(sources.name):
        packages = _made(f"{sources.name}.packages", (sources / name for name in _INSTALLED), _install)
        return _made(sources.name, files, lambda folder: _build(folder, sources, packages, scripts))


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """One test run at a time."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _made(name: str, files: Iterable[Path], make: Callable[[Path], None]) -> Path:
    """The folder that `make` fills from these files; an older one goes."""
    contents = {path: path.read_bytes() for path in files}
    digest = hashlib.sha256(b"".join(f"{path}\n".encode() + data for path, data in contents.items())).hexdigest()[:16]
    ready = _CACHE / name / digest
    if ready.is_dir():
        return ready
    shutil.rmtree(_CACHE / name, ignore_errors=True)
    making = _CACHE / name / "making"  # a test run that is ended half-way leaves nothing that looks ready
    making.mkdir(parents=True)
    for path in contents:
        if path.name in _INSTALLED:
            shutil.copy(path, making)
    make(making)
    return making.rename(ready)


def _install(folder: Path) -> None:
    if wrong := _run("npm", "ci", "--no-progress", "--no-audit", "--no-fund", "--prefer-offline", folder=folder):
        lacking("npm packages", f"`npm ci` failed, which needs the network once: {wrong}")


def _build(folder: Path, sources: Path, packages: Path, scripts: Iterable[str]) -> None:
    shutil.copytree(sources, folder, ignore=shutil.ignore_patterns("node_modules", "dist"), dirs_exist_ok=True)
    (folder / "node_modules").symlink_to(packages / "node_modules")
    for script in scripts:
        assert _run("npm", "run", script, folder=folder) == ""


def _run(*command: str, folder: Path) -> str:
    """Runs a command; what it printed if it failed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S, check=False)
    return f"{done.stdout}{done.stderr}" if done.returncode else ""


def run_program(program: Path, *arguments: str | Path) -> Any:
    """What a Node program prints, which is JSON."""
    return json.loads(run_node(program, *arguments))


def run_node(program: Path, *arguments: str | Path) -> str:
    """What a Node program prints; by the Node among its packages where there is one."""
    own = program.parent / "node_modules" / ".bin" / "node"
    command = [own if own.exists() else "node", program, *arguments]
    done = subprocess.run(
        command, capture_output=True, timeout=_PROGRAM_TIMEOUT_S, check=False, env={**os.environ, "NO_COLOR": "1"}
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode()


@dataclass
class Clients:
    """A demo Ollama, and what a client's program said of a server on it."""

    upstream: DemoOllama
    found: dict[str, Any]


@contextmanager
def client_program(program: str, *arguments: str, **settings: Any) -> Iterator[Clients]:
    """Runs a program of tests/clients/programs once on a server; ``found`` is what it found, by scenario."""
    path = built(CLIENTS) / program
    with DemoOllama(tokens_per_s=None, scenarios=True) as upstream, ExitStack() as stack:
        upstream.answers["exact"] = EXACT
        up, down = (
            stack.enter_context(
                serving(create_app(Settings(ollama_url=ollama, model="demo", demo="never", **settings)))
            )
            for ollama in (upstream.url, NOBODY)
        )
        for server in (up, down):
            # FastAPI finishes an app's routes at its first request, which two threads must not do at once.
            get(f"{server.url}/nothing-here")
        yield Clients(upstream, run_program(path, up.url, down.url, "", *arguments))


def real_answer(program: str, settings: Settings, *arguments: str) -> dict[str, Any]:
    """What a client makes of a real model's answer, and under ``expected`` the answer by our own Python API."""
    found: dict[str, Any]
    with serving(create_app(settings)) as served:
        found = run_program(built(CLIENTS) / program, served.url, "", settings.model or "", *arguments)["real"]
    return {**found, "expected": "".join(stream(QUESTION, settings=settings))}
