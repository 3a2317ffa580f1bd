"""An event loop whose time runs faster: what waits for a lease or a timeout is there soon, in the same order."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

# How fast, compared with the clock. The shortest timeout of the code under test must be long enough for a busy machine.
SPEED = 20


class FastLoop(asyncio.SelectorEventLoop):
    """A loop in which a second takes 1/20 s."""

    def __init__(self) -> None:
        super().__init__(_FastSelector())

    def time(self) -> float:
        return SPEED * super().time()


class _FastSelector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[Any]:
        return super().select(None if timeout is None else timeout / SPEED)
