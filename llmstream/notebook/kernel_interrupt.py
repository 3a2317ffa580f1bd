"""The action of the interrupt button while an answer is awaited: it stops the answer, without a traceback."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_Handler = Any  # what `signal.signal` takes


class _Guard:
    """The interrupt handler of one answer.

    Kernels put handlers back in their own order, so that this one may stand after its answer has ended; then it is as
    if the earlier one stood there, and so it is for a second interrupt, of an answer that a chain keeps from ending.
    Of several answers at once, all are stopped.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self.ended = False
        self._asked = False
        self._earlier: _Handler = signal.signal(signal.SIGINT, self.handle)

    def handle(self, number: int, frame: FrameType | None) -> None:
        passes_on = self.ended or self._asked
        if not self.ended:
            self._asked = True
            self._stop()
        earlier = _guard(self._earlier)
        if earlier is not None:
            earlier.handle(number, frame)
        elif passes_on and callable(self._earlier):
            self._earlier(number, frame)

    def end(self) -> None:
        self.ended = True
        if _guard(signal.getsignal(signal.SIGINT)) is self:
            signal.signal(signal.SIGINT, self.standing())

    def standing(self) -> _Handler:
        """The newest earlier handler whose answer goes on."""
        earlier = _guard(self._earlier)
        if earlier is None:
            return self._earlier
        return earlier.standing() if earlier.ended else self._earlier


def _guard(handler: _Handler) -> _Guard | None:
    owner = getattr(handler, "__self__", None)
    return owner if isinstance(owner, _Guard) else None


@contextmanager
def interrupts(stop: Callable[[], None]) -> Iterator[None]:
    """Makes an interrupt in the block call `stop`, in the middle of whatever runs; puts the earlier handler back."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    guard = _Guard(stop)
    try:
        yield
    finally:
        guard.end()
