"""A browser, and what Gradio leaves to the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.support.browser import kept_profile


@pytest.fixture(scope="module", autouse=True)
def no_loops_left() -> Iterator[None]:
    """What Gradio leaves is collected here, not in another module's test."""
    yield
    with warnings.catch_warnings(action="ignore"):
        asyncio.set_event_loop(None)
        gc.collect()


@pytest.fixture(scope="module")
def profile() -> Iterator[BrowserContext]:
    """The profile of a Chromium; a test uses it `without_past`."""
    with kept_profile() as profile:
        yield profile


@pytest.fixture(scope="module")
def browser(profile: BrowserContext) -> Browser:
    """The same Chromium."""
    assert profile.browser is not None
    return profile.browser
