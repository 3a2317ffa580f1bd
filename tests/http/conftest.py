"""Servers for the tests of runs over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.serving import Serve, serving


@pytest.fixture
def url(settings: Settings, serve: Serve) -> str:
    """A server with short times."""
    quick = settings.change(drain_s=0, grace_s=0.2, heartbeat_s=0.05, model="demo:tokens-5")
    return str(serve(create_app(quick)).url)


@pytest.fixture(scope="module")
def shared() -> Iterator[str]:
    """One server for all the requests that change nothing on it."""
    with DemoOllama(tokens_per_s=None, scenarios=True) as upstream:
        settings = Settings(ollama_url=upstream.url, demo="never", model="demo:tokens-5")
        with serving(create_app(settings)) as served:
            yield served.url
