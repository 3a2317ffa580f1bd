"""A Chromium, the pages that are opened in it, and the server that they ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI
from playwright.sync_api import BrowserContext
from starlette.types import ASGIApp

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.browser import Recorder, build, kept_profile, serving_files, without_past
from tests.support.browser_pages import (
    ANSWER,
    FOREIGN,
    INTRANET,
    QUESTION,
    Api,
    Open,
    ServeApi,
    Watched,
)
from tests.support.serving import Served


@pytest.fixture(scope="module")
def profile() -> Iterator[BrowserContext]:
    """The profile of a Chromium for which the foreign names lead to this machine.

    It ends with its file: while it runs, no test of another one in this process can have an event loop.
    """
    names = ", ".join(f"MAP {name} 127.0.0.1" for name in (*FOREIGN, INTRANET))
    with kept_profile(f"host-resolver-rules={names}") as profile:
        yield profile


@pytest.fixture(scope="module")
def files_port() -> Iterator[int]:
    """The port of the pages, on localhost, 127.0.0.1 and the foreign names."""
    with serving_files(build() / "dist") as port:
        yield port


@pytest.fixture
def context(profile: BrowserContext) -> Iterator[BrowserContext]:
    """A browser without any past."""
    with without_past(profile) as context:
        yield context


@pytest.fixture
def paced() -> Iterator[DemoOllama]:
    """A demo Ollama whose tokens arrive one by one."""
    with DemoOllama(tokens_per_s=400, scenarios=True) as server:
        server.answers[QUESTION] = ANSWER
        yield server


@pytest.fixture
def open_page(context: BrowserContext, files_port: int) -> Open:
    """Opens the page of a way on an origin of its own; the API is at a port of localhost."""

    def open_page(way: str, api_port: int, host: str = "localhost", **query: str) -> Watched:
        watched = Watched(context.new_page())
        address = f"http://localhost:{api_port}"
        on_request = lambda request: watched.asked.append(request) if request.url.startswith(address) else None  # noqa: E731
        watched.page.on("request", on_request)
        watched.page.on(
            "console", lambda message: watched.errors.append(message.text) if message.type == "error" else None
        )
        watched.page.on("pageerror", lambda error: watched.errors.append(str(error)))
        watched.page.goto(f"http://{host}:{files_port}/?{urlencode({'way': way, 'api': address, **query})}")
        return watched

    return open_page


@pytest.fixture
def serve_api(serve: Callable[[FastAPI], Served]) -> ServeApi:
    """Serves the whole app for an upstream, with its requests noted."""

    def serve_api(upstream: DemoOllama, **changes: object) -> Api:
        app = create_app(Settings(ollama_url=upstream.url, demo="never").change(**changes))
        recorders: list[Recorder] = []

        def record(inner: ASGIApp) -> Recorder:
            recorders.append(Recorder(inner))
            return recorders[0]

        app.add_middleware(record)
        return Api(app, serve(app), recorders[0])

    return serve_api
