"""The server that most clients of a dialect ask."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi import FastAPI

from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.serving import Served


@pytest.fixture
def served(serve: Callable[[FastAPI], Served], settings: Settings) -> Served:
    """A server over the default chain."""
    return serve(create_app(settings.change(model="demo")))
