"""The error tree: stable codes, and the way over the wire and back."""

from __future__ import annotations

import pickle

import pytest

from llmstream import errors
from llmstream.errors import Busy, LlmstreamError, error_from_code
from llmstream.events import Failed, failed

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, LlmstreamError)]
RETRYABLE = {
    "busy", "too_many_runs", "server_shutdown", "upstream_error", "upstream_unreachable", "upstream_busy",
    "upstream_timeout", "upstream_stalled", "upstream_truncated", "upstream_empty",
}  # fmt: skip


def test_each_class_has_its_own_code() -> None:
    """No two classes share a code, and asking again helps where it can."""
    codes = [cls.code for cls in CLASSES]

    assert len(codes) == len(set(codes))
    assert {cls.code for cls in CLASSES if cls.retryable} >= RETRYABLE
    assert not {cls.code for cls in CLASSES if not cls.retryable} & RETRYABLE


def test_the_tree_in_the_docstring_is_whole() -> None:
    """The docstring, which people read first, names every class."""
    assert [] == [cls.__name__ for cls in CLASSES if cls.__name__ not in (errors.__doc__ or "")]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_over_the_wire(cls: type[LlmstreamError]) -> None:
    """A code and a message make the same error again, which can be pickled and told as an event."""
    error = error_from_code(cls.code, "What happened.")

    assert cls is type(error)
    assert "What happened." == error.message == str(error)
    assert Failed(cls.code, "What happened.", cls.retryable) == failed(error)
    assert not isinstance(error, Busy) or error.retry_after_s == 2


def test_unknown_code() -> None:
    """A code of a newer server is an error all the same."""
    error = error_from_code("from_the_future", "x")

    assert (LlmstreamError, "x") == (type(error), str(error))


def test_pickle() -> None:
    """An error reaches another process."""
    error = pickle.loads(pickle.dumps(errors.UpstreamTruncated("x")))

    assert (errors.UpstreamTruncated, "x") == (type(error), str(error))
