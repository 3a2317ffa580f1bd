"""Fixtures of the chat page: one Chromium for all its tests, and pages in which nothing may go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

    from tests.support.page import Held, Pages


@pytest.fixture(scope="package")
def profile() -> Iterator[BrowserContext]:
    """The profile of a Chromium."""
    from tests.support.page import chromium

    with chromium() as profile:
        yield profile


@pytest.fixture
def pages(profile: BrowserContext) -> Iterator[Pages]:
    """Opens the page; nothing may go wrong in it, and nothing may leave this machine."""
    from tests.support.page import opening

    with opening(profile) as pages:
        yield pages


@pytest.fixture
def held() -> Iterator[Held]:
    """The app on an answer that stands still in its middle."""
    from tests.support.page import Held

    with Held().serving() as held:
        yield held
