"""A dict that holds only what was set last."""

from __future__ import annotations

from llmstream.concurrency import Newest


def test_what_was_not_set_for_longest_goes() -> None:
    """An entry that is set again is a new one, with its new value."""
    kept: Newest[str, int] = Newest(2)
    kept["a"], kept["b"] = 1, 2

    kept["a"] = 3
    kept["c"] = 4

    assert {"a": 3, "c": 4} == kept
