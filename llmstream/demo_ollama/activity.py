"""The requests to the demo Ollama and the generations under way, for tests in other threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class RequestRecord:
    """A request the server got.

    method: `GET`, `POST` ... path: `/api/chat`. body: the JSON object in the body; empty if there was none.
    finished: the answer was sent to its last byte. closed: the connection went before that, by the client, by a
    scenario or by the end of the server.
    """

    method: str
    path: str
    body: dict[str, Any] = field(default_factory=dict)
    finished: bool = False
    closed: bool = False


# A demo may run for weeks.
_KEPT = 1000


class Activity:
    """The records of all requests, and the number of generations under way."""

    def __init__(self) -> None:
        self.requests: deque[RequestRecord] = deque(maxlen=_KEPT)
        self.active = 0
        self._changed = threading.Condition()

    @contextmanager
    def generation(self) -> Iterator[None]:
        """Counts a generation as under way inside the block."""
        self._add(1)
        try:
            yield
        finally:
            self._add(-1)

    def wait(self, *, least: int, most: float, timeout_s: float) -> bool:
        """Blocks until between `least` and `most` generations are under way; False if that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: least <= self.active <= most, timeout_s)

    def _add(self, change: int) -> None:
        with self._changed:
            self.active += change
            self._changed.notify_all()
