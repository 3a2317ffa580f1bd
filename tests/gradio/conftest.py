"""What Gradio leaves to the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def no_loops_left() -> Iterator[None]:
    """What Gradio leaves is collected here, not in another module's test."""
    yield
    with warnings.catch_warnings(action="ignore"):
        asyncio.set_event_loop(None)
        gc.collect()
