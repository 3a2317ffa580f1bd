"""The React client, its stores and its hooks: their own tests, which vitest runs against a real HTTP server."""

from __future__ import annotations

import pytest

from tests.support.react_app import npm, run


@pytest.mark.timeout(300)  # the first run installs the packages
def test_vitest() -> None:
    """Client, stores, hooks, size and the README's examples are as they should be."""
    status, said = run(npm(), "test", timeout_s=120)
    assert status == 0, said
