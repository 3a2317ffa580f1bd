"""What the browser and Node tests use: the built pages, a server for them, a record of requests, a proxy that cuts."""

from __future__ import annotations

import functools
import os
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, sync_playwright
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.support import ROOT
from tests.support.lacking import lacking
from tests.support.npm import built

SOURCES = ROOT / "tests" / "clients" / "pages"
_QUIET = ("no-first-run", "disable-background-networking", "disable-component-update", "disable-sync")
# The first is the same engine without the windows, tabs and bars around its pages: a third less work for a page.
_CHROMIUMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str:
    """The browser to test with: ``LLMSTREAM_TEST_CHROMIUM``, or the first one on PATH."""
    named = os.environ.get("LLMSTREAM_TEST_CHROMIUM")
    found = named or next((path for name in _CHROMIUMS if (path := shutil.which(name))), None)
    if found is None:
        lacking("Chromium", "put `chromium` or `google-chrome` on PATH")
    return str(found)


@contextmanager
def kept_profile(*options: str) -> Iterator[BrowserContext]:
    """The profile of a Chromium, on the disk, where it keeps what it has compiled of a page's scripts.

    That is half of what a page costs; a context of `new_context` compiles all of it anew.
    """
    chromium = find_chromium()
    arguments = [f"--{option}" for option in ("no-sandbox", "disable-gpu", *_QUIET, *options)]
    with sync_playwright() as playwright, TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        profile = playwright.chromium.launch_persistent_context(folder, executable_path=chromium, args=arguments)
        yield profile
        profile.close()


@contextmanager
def without_past(profile: BrowserContext) -> Iterator[BrowserContext]:
    """The profile, which forgets afterwards whatever a page can see."""
    blank, *_ = profile.pages
    yield profile
    for page in profile.pages:
        if page != blank:  # without any, the browser ends
            page.close()
    profile.unroute_all()
    profile.set_offline(False)
    profile.clear_permissions()
    session = profile.new_cdp_session(blank)
    session.send("Storage.clearDataForOrigin", {"origin": "*", "storageTypes": "all"})
    session.send("Storage.clearCookies")
    session.detach()


def build() -> Path:
    """The folder with the packages, the Node programs and, in ``dist``, the pages; made when the sources changed."""
    return built(SOURCES, "check", "build")


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


@contextmanager
def serving_files(folder: Path) -> Iterator[int]:
    """The files of a folder over HTTP, on any name of this machine; gives the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Seen:
    """A request that reached the app."""

    method: str
    path: str
    last_event_id: str | None
    status: int = 0
    ended: bool = False


@dataclass
class Recorder:
    """An ASGI app around another one that notes its requests."""

    app: ASGIApp
    seen: list[Seen] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI app."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        seen = Seen(scope["method"], scope["path"], Headers(scope=scope).get("last-event-id"))

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            await send(message)

        self.seen.append(seen)
        try:
            await self.app(scope, receive, note)
        finally:
            with self._changed:
                seen.ended = True
                self._changed.notify_all()

    @property
    def asked(self) -> list[Seen]:
        """The requests without the preflights, oldest first."""
        return [each for each in self.seen if each.method != "OPTIONS"]

    def wait(self, done: Callable[[list[Seen]], bool], timeout_s: float = 15) -> bool:
        """Blocks until the requests that have ended are as wanted; False if that took longer."""
        with self._changed:
            return self._changed.wait_for(lambda: done([each for each in self.seen if each.ended]), timeout_s)


class CuttingProxy:
    """A TCP proxy on loopback that cuts one answer: it passes on what comes before a match, then closes the connection.

    Args:
        url: The server behind it.
        before: What to cut before; the first answer that holds it is cut, the next ones are left alone.
        hold: Wait for `cut` to be set first. A browser drops what a broken stream still holds, so who wants a part
            of the answer to be seen has to look for it before the cut.
        then: The server to which it leads after the cut, if that is another one; nobody stays connected to the first.
    """

    def __init__(self, url: str, before: str, *, hold: bool = False, then: str = "") -> None:
        self._servers = [urlsplit(each or url) for each in (url, then)]
        self._moves = then != ""
        self._before: re.Pattern[bytes] | None = re.compile(before.encode(), re.DOTALL)
        self.cut = threading.Event()
        if not hold:
            self.cut.set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._sockets: list[socket.socket] = []

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    @property
    def has_cut(self) -> bool:
        """Whether it did."""
        return self._before is None

    def __enter__(self) -> CuttingProxy:
        """Begins to accept connections."""
        self._threads[0].start()
        return self

    def __exit__(self, *error: object) -> None:
        """Closes everything."""
        self.cut.set()
        for each in (self._listener, *self._sockets):
            _shut(each)
        for thread in self._threads:
            thread.join(timeout=10)
        for each in (self._listener, *self._sockets):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            place = self._servers[self.has_cut]
            server = socket.create_connection((place.hostname, place.port))
            self._sockets += [client, server]
            for target in (self._to_server, self._to_client):
                thread = threading.Thread(target=target, args=(client, server), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
        _shut(server)

    def _to_client(self, client: socket.socket, server: socket.socket) -> None:
        # Bytes that are passed on already are kept: a match may begin in them.
        answer, passed = b"", 0
        with suppress(OSError):
            while data := server.recv(65536):
                answer += data
                match = self._find(answer)
                end = len(answer) if match is None else max(match, passed)
                client.sendall(answer[passed:end])
                passed = end
                if match is not None:
                    self.cut.wait()
                    for each in list(self._sockets) if self._moves else ():
                        _shut(each)
                    break
        _shut(client)
        _shut(server)

    def _find(self, answer: bytes) -> int | None:
        with self._lock:
            found = self._before.search(answer) if self._before else None
            if found is None:
                return None
            self._before = None
            return found.start()


def _shut(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
