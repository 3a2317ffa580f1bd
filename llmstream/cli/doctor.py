"""`llmstream doctor`: what runs, what is missing, and the command that mends it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

from llmstream import __version__, concurrency
from llmstream.errors import LlmstreamError, SettingsError
from llmstream.http.pages import CHAT
from llmstream.ollama.models import Ollama
from llmstream.ollama.names import same_model
from llmstream.ollama.server_kinds import OLLAMA
from llmstream.ollama.upstream import Upstream
from llmstream.openai.upstream_from_settings import upstream_of
from llmstream.runs.log_from_settings import open_log
from llmstream.settings import Settings, misspelled, unknown_variables
from llmstream.view.safe import print_line

PYTHON = (3, 11)
PORT = 8000
NODE = 20
ANSWER_S = 5.0
_EXTRAS = {
    "gradio": ("gradio",),
    "notebook": ("ipywidgets", "ipykernel"),
    "community": ("langchain-community",),
    "openai": ("langchain-openai",),
    "redis": ("redis",),
}


@dataclass(frozen=True)
class Finding:
    """The result of one check; `needed` where without it no model but the demo can answer."""

    ok: bool
    text: str
    needed: bool = False


def run(arguments: argparse.Namespace) -> int:
    """Prints a line for each check; returns 1 where something is missing without which at most the demo answers."""
    missing = False
    for finding in examine():
        missing |= finding.needed and not finding.ok
        mark = "ok" if finding.ok else "MISSING" if finding.needed else "missing"
        print_line(f"{mark:<8} {finding.text}")
    return 1 if missing else 0


def examine() -> Iterator[Finding]:
    """The findings of all checks, in the order in which to mend them."""
    found = platform.python_version()
    wanted = ".".join(map(str, PYTHON))
    enough = sys.version_info >= PYTHON
    yield Finding(enough, f"Python {found}" + ("" if enough else f": llmstream needs {wanted} or later"), needed=True)
    yield Finding(True, f"llmstream {__version__}")
    try:
        settings = Settings()
    except SettingsError as error:
        yield Finding(False, f"settings: {error.message}", needed=True)
        return
    yield from _upstream(settings)
    if settings.redis_url is not None:
        yield _store(settings)
    for extra, packages in _EXTRAS.items():
        yield from (_package(package, f'pip install "llmstream-toolkit[{extra}]"') for package in packages)
    if sys.platform != "win32":
        yield _package("uvloop", "pip install uvloop; the server is slower without it")
    yield _package("httptools", "pip install httptools")
    yield _port(PORT)
    yield _page()
    yield _node()
    yield from _variables()


def _upstream(settings: Settings) -> Iterator[Finding]:
    upstream = concurrency.run(upstream_of(settings))
    hosts = concurrency.run(upstream.hosts())
    answers = not all(host.away for host in hosts)
    for host in hosts:
        found = f"host {host.name}: " + (host.trouble if host.away else f"{host.models} models")
        yield Finding(not host.away, found, needed=not answers)
    if isinstance(upstream, Ollama):
        yield from _ollama(upstream, settings)
    elif answers or not hosts:
        yield from _other(upstream, settings)


def _ollama(ollama: Ollama, settings: Settings) -> Iterator[Finding]:
    address = ollama.address
    try:
        yield Finding(True, f"Ollama {concurrency.run(ollama.version())} at {address}", needed=True)
    except LlmstreamError:
        how = "start it with `ollama serve`" if shutil.which("ollama") else "install it: https://ollama.com/download"
        yield Finding(
            False,
            f"Ollama: none answers at {address}; {how}; or start a demo in its place with `llmstream demo`. "
            "Without an Ollama only the demo answers.",
            needed=True,
        )
        return
    try:
        names = [model.name for model in concurrency.run(ollama.models())]
        chosen = settings.model or concurrency.run(ollama.choose_model())
        is_there = concurrency.run(ollama.has(chosen))
    except LlmstreamError as error:
        yield Finding(False, f"model: {error.message}", needed=True)
        return
    yield Finding(True, f"models: {', '.join(names)}")
    if is_there:
        yield from _answers(ollama, chosen)
    else:
        yield Finding(False, f"model {chosen}: get it with `ollama pull {chosen}`", needed=True)


def _other(server: Upstream, settings: Settings) -> Iterator[Finding]:
    """The findings about an OpenAI-compatible server, or about several servers."""
    try:
        kind = concurrency.run(server.version())
        models = concurrency.run(server.models())
        chosen = settings.model or concurrency.run(server.choose_model())
    except LlmstreamError as error:
        yield Finding(False, f"LLMSTREAM_UPSTREAM: {error.message}", needed=True)
        return
    what = "Ollama" if server.endpoint.server is OLLAMA else "OpenAI-compatible server"
    yield Finding(True, f"{what} ({kind}) at {server.address}", needed=True)
    told = (f"{each.name} ({each.context_length} tokens)" if each.context_length else each.name for each in models)
    yield Finding(True, f"models: {', '.join(told)}")
    if any(same_model(each.name, chosen) for each in models):
        yield from _answers(server, chosen)
    else:
        how = "set LLMSTREAM_MODEL to one of those above"
        yield Finding(False, f"model {chosen}: the server has no such one; {how}", needed=True)


def _answers(upstream: Upstream, model: str) -> Iterator[Finding]:
    """The findings of asking each server that has the model; where there are several, one that answers is enough."""
    servers = concurrency.run(upstream.servers(model))
    found = [_answer(each, model, f" at {each.address}" if len(servers) > 1 else "") for each in servers]
    one_answers = any(each.ok for each in found)
    yield from (replace(each, needed=each.needed and not one_answers) for each in found)


def _answer(upstream: Upstream, model: str, where: str) -> Finding:
    """The finding of asking a model for one token; one that is not loaded may need longer than the limit."""
    limit_s = min(ANSWER_S, upstream.endpoint.first_token_timeout_s)
    try:
        was_loaded = concurrency.run(upstream.loaded(model))
        took_s = concurrency.run(upstream.first_token_s(model, within_s=limit_s))
    except LlmstreamError as error:
        return Finding(False, f"model {model}{where}: {error.message}", needed=True)
    if took_s is not None:
        return Finding(True, f"model {model} answers{where}: a token in {took_s:.1f} s", needed=True)
    told = f"model {model}{where}: no token within {limit_s:g} s"
    if not isinstance(upstream, Ollama):
        return Finding(False, f"{told}; the server is busy, or it hangs: its log says which", needed=True)
    if not was_loaded:
        return Finding(False, f"{told}, since it was not loaded; `ollama run {model} hi` waits for it")
    unload = json.dumps({"model": model, "keep_alive": 0})
    free = (
        f"`ollama stop {model}`, or `curl {upstream.endpoint.shown_url}/api/generate -d '{unload}'`; "
        "LLMSTREAM_FREE_STUCK_MODELS=1 has that done when a question has waited for too long"
    )
    return Finding(False, f"{told}, though it is loaded: it is busy, or answers nobody. Free it: {free}", needed=True)


def _store(settings: Settings) -> Finding:
    try:
        open_log(settings)  # what it needs is installed
        from llmstream.runs.redis.store.status_line import store_report

        return Finding(True, f"store: {concurrency.run(store_report(settings))}", needed=True)
    except (LlmstreamError, ImportError) as error:
        return Finding(False, f"store: {error}", needed=True)


def _package(name: str, how: str) -> Finding:
    try:
        return Finding(True, f"{name} {version(name)}")
    except PackageNotFoundError:
        return Finding(False, f"{name} (optional): {how}")


def _port(port: int) -> Finding:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return Finding(False, f"a free port {port}: another program has it; `llmstream serve --port {port + 1}`")
    return Finding(True, f"port {port} is free")


def _page() -> Finding:
    if (CHAT / "index.html").is_file():
        return Finding(True, "the chat page is built")
    return Finding(False, "chat page (not built): run `make page` in a clone, which takes Node.js")


def _node() -> Finding:
    how = f"(for building the React page): install Node.js {NODE} or later, https://nodejs.org"
    node = shutil.which("node")
    if node is None:
        return Finding(False, f"node {how}")
    try:
        command = [node, "--version"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()  # noqa: S603
        enough = int(found.removeprefix("v").partition(".")[0]) >= NODE
    except (OSError, ValueError, subprocess.SubprocessError):
        return Finding(False, f"node does not run {how}")
    return Finding(enough, f"node {found}" + ("" if enough else f" is too old {how}"))


def _variables() -> Iterator[Finding]:
    """The settings in the environment, by name alone: a value may be a secret."""
    names = sorted(name for name in os.environ if name.startswith("LLMSTREAM_") and os.environ[name])
    names = [name for name in names if "_TEST_" not in name]
    yield Finding(True, f"settings in the environment: {', '.join(names) or 'none'}")
    for name in unknown_variables():
        yield Finding(False, misspelled(name))
