"""`llmstream serve`: the app of `create_app` on the server of `server`, and what it tells of itself when it starts."""

from __future__ import annotations

import argparse
import asyncio
import errno
import functools
import logging
import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

from fastapi import FastAPI

from llmstream import __version__
from llmstream.addresses import LOOPBACK_HOSTS
from llmstream.cli import lazy_gradio
from llmstream.cli.lazy_gradio import LazyChat
from llmstream.cli.log_lines import log_to_stderr
from llmstream.cli.workers import Workers
from llmstream.errors import LlmstreamError, SettingsError
from llmstream.fastapi import create_app
from llmstream.http.origins import check_public
from llmstream.ollama.upstream import Upstream
from llmstream.openai.upstream_from_settings import upstream_of
from llmstream.runs.log_from_settings import open_log
from llmstream.runs.manager import Runs
from llmstream.server import Server
from llmstream.settings import Settings, misspelled, unknown_variables
from llmstream.view.safe import print_stderr, try_print_line


def run(arguments: argparse.Namespace) -> int:
    """Serves until Ctrl-C or SIGTERM; raises `LlmstreamError` where that can't begin."""
    settings = Settings.load(model=arguments.model, demo=arguments.demo)
    for variable in unknown_variables():
        print_stderr(misspelled(variable))
    check_public(arguments.host, settings, allow_public=arguments.allow_public)
    settings = settings.change(allowed_hosts=_allowed_hosts(arguments.host, settings))
    if arguments.workers > 1 and settings.redis_url is None:
        raise SettingsError(
            "--workers needs a store that the processes share: set LLMSTREAM_REDIS_URL, such as redis://localhost."
        )
    if settings.redis_url is not None:
        asyncio.run(_check_store(settings))
    listeners = _listen(arguments.host, arguments.port)
    work = functools.partial(_work, settings, arguments.root_path)
    return work(listeners, 0) if arguments.workers == 1 else Workers(arguments.workers, work, listeners).run()


async def _check_store(settings: Settings) -> None:
    """Raises `SettingsError` where the store can't be used."""
    log = open_log(settings)
    await log.start()
    await log.aclose()


def _work(settings: Settings, root_path: str, listeners: Sequence[socket.socket], number: int) -> int:
    """Serves in one process; the first of several prints the banner."""
    log_to_stderr()
    app, runs, chat = served_app(settings)

    class AnnouncedServer(Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            if self.started and number == 0:
                await _announce(_address(listeners[0]), runs.settings, demo=app.state.fallback.active)

        async def shutdown(self, sockets: Any = None) -> None:
            if number == 0:
                try_print_line("Stopping. A second Ctrl-C does not wait for the answers under way.")
            await super().shutdown(sockets)
            await chat.close()

    _allow_connections()
    server = AnnouncedServer(app, runs, root_path=root_path)
    # What uvicorn tells of itself stands in our own lines.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("llmstream").setLevel(logging.INFO)
    logging.raiseExceptions = False  # a log that nobody reads any more is no reason to fill another one
    try:
        server.run(list(listeners))
    except KeyboardInterrupt:
        return 0
    return 0 if server.started else 1


def _allow_connections() -> None:
    """Raises the limit of open files to the most allowed: each connection is a file, and the usual limit a thousand."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def served_app(settings: Settings) -> tuple[FastAPI, Runs, LazyChat]:
    """The app of `create_app` with the Gradio chat in it, which is to be closed at the end."""
    runs = Runs(settings)
    app = create_app(settings, runs=runs)
    chat = LazyChat(runs, lambda: app.state.fallback.notice)
    app.mount(lazy_gradio.PATH, chat)
    return app, runs, chat


async def _announce(address: str, settings: Settings, *, demo: bool) -> None:
    try_print_line(f"llmstream {__version__} listens on {address}")
    if not demo:  # the demo has announced itself
        upstream = await upstream_of(settings)
        try:
            where = f"{upstream.endpoint.server.title} at {upstream.address}"
            try_print_line(f"{where} answers{await _model(upstream, settings.model)}")
        except LlmstreamError as error:
            try_print_line(error.message)
    page = address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    once = ", once with ?token=…" if settings.token else ""
    try_print_line(f"The chat: {page}  With Gradio: {page}{lazy_gradio.PATH}  The documentation: {page}/docs{once}")


async def _model(upstream: Upstream, wanted: str | None) -> str:
    """The words of the banner about the model: its name, or that the server does not have it."""
    model = wanted or await upstream.choose_model()
    if wanted is None or await upstream.has(model):
        return f", with {model}"
    return f". {upstream.not_found(model).message}"


def _allowed_hosts(host: str, settings: Settings) -> tuple[str, ...]:
    """The host names to answer to: also loopback names, and the host to listen on unless it means every address."""
    names = tuple(dict.fromkeys([*LOOPBACK_HOSTS, *settings.allowed_hosts]))
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        name = host.lower()
    else:
        if address.is_unspecified:
            try_print_line(f"Answers to {', '.join(names)} only; LLMSTREAM_ALLOWED_HOSTS adds other names.")
            return names
        name = f"[{address}]" if address.version == 6 else str(address)
    return tuple(dict.fromkeys([*names, name]))


def _listen(host: str, port: int) -> list[socket.socket]:
    """Sockets on every address of a name; raises `LlmstreamError`."""
    listeners: list[socket.socket] = []
    failure: OSError | None = None
    try:
        for family, *_, address in socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM):
            bound = (address[0], listeners[0].getsockname()[1] if listeners else port)
            try:
                listeners.append(socket.create_server(bound, family=family, backlog=2048))
            except OSError as error:
                failure = error  # localhost may be ::1 too where there is no IPv6
    except OSError as error:
        failure = error
    if failure is not None and (failure.errno == errno.EADDRINUSE or not listeners):
        for listener in listeners:
            listener.close()
        if failure.errno == errno.EADDRINUSE:
            raise LlmstreamError(f"Port {port} is taken. Choose another one: llmstream serve --port {_next(port)}")
        raise LlmstreamError(
            f"Can't listen on {host}, port {port}: {failure.strerror}. Choose another: --host, --port."
        )
    return listeners


def _next(port: int) -> int:
    return port + 1 if port < 65535 else port - 1


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
