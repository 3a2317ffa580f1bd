"""A browser, and what Gradio leaves to the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support.browser import find_chromium


@pytest.fixture(scope="module", autouse=True)
def no_loops_left() -> Iterator[None]:
    """What Gradio leaves is collected here, not in another module's test."""
    yield
    with warnings.catch_warnings(action="ignore"):
        asyncio.set_event_loop(None)
        gc.collect()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
