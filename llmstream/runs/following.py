"""Leaving a run that may only just be being started: it is stopped all the same."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from llmstream.events import CancelledBy
from llmstream.runs.run import Run

_going: set[asyncio.Future[Any]] = set()


def leave(starting: asyncio.Future[Run], by: CancelledBy = "left") -> None:
    """Stop the run at once, or as soon as it has begun; for the event loop that starts it."""
    _going.add(starting)
    starting.add_done_callback(partial(_stop, by=by))


def _stop(started: asyncio.Future[Run], by: CancelledBy) -> None:
    _going.discard(started)
    if not started.cancelled() and started.exception() is None:
        stopping = asyncio.ensure_future(started.result().stop(by))
        _going.add(stopping)
        stopping.add_done_callback(_going.discard)
