"""What a machine may lack: a test is skipped for it, and says how to get it."""

from __future__ import annotations

import os

import pytest

# Set where everything must be there, as in .ci/run: what a machine lacks then fails instead of being skipped.
REQUIRE = bool(os.environ.get("LLMSTREAM_TEST_REQUIRE"))


def lacking(what: str, how: str) -> None:
    """Skip, in one line that says how to get what is missing; or fail where nothing may be missing."""
    message = f"no {what}: {how}"
    if REQUIRE:
        pytest.fail(message)
    pytest.skip(message)
