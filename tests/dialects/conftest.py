"""The server that most clients of a dialect ask, and OpenAI's client of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI

from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.agent_protocol import Serve
from tests.support.asking_graphs import mail_graph
from tests.support.serving import Served

if TYPE_CHECKING:
    import openai


@pytest.fixture
def served(serve: Callable[[FastAPI], Served], settings: Settings) -> Served:
    """A server over the default chain."""
    return serve(create_app(settings.change(model="demo")))


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    """OpenAI's own client; the files of other dialects have others."""
    import openai

    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture
def asking(serve: Serve, settings: Settings) -> Served:
    """A server over a graph that asks before it sends a mail."""
    return serve(create_app(settings, chain=mail_graph()))
