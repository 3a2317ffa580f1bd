"""Servers with doors, and requests that come from elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def server_log(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    """What the server logs meanwhile; uvicorn's loggers hand nothing on by themselves."""
    loggers = [logging.getLogger(name) for name in ("uvicorn", "uvicorn.access")]
    for logger in loggers:
        logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.DEBUG):
            yield caplog.records
    finally:
        for logger in loggers:
            logger.removeHandler(caplog.handler)
