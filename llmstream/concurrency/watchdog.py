"""A timer for silence: what is heard only stores a time, and the timer looks at it when it goes off."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable

# How long a loop that was held up itself has to read what came meanwhile, before that counts as silence.
_LAST_LOOK_S = 0.01


class Watchdog:
    """Calls a function when nothing has been heard for too long; one timer, however much is heard.

    running: whether it will be looked whether something is due.
    """

    def __init__(self) -> None:
        self.running = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def start(self, due: Callable[[], float], expired: Callable[[], object]) -> None:
        """Call `expired` once it is later than `due` says, in the loop's time, which may move as often as it likes.

        What was started before is stopped.
        """
        self.stop()
        self._set(due(), due, expired, is_last_look=False)

    def stop(self) -> None:
        """Ends the watching."""
        self.running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, at: float, due: Callable[[], float], expired: Callable[[], object], *, is_last_look: bool) -> None:
        self.running = True
        # asyncio keeps a timer that is cancelled to its time, and the context with it, which would keep a run's things.
        context = contextvars.Context()
        self._timer = self._loop.call_at(at, self._look, due, expired, is_last_look, context=context)

    def _look(self, due: Callable[[], float], expired: Callable[[], object], is_last_look: bool) -> None:
        at, now = due(), self._loop.time()
        if at > now:
            self._set(at, due, expired, is_last_look=False)
        elif not is_last_look:
            self._set(now + _LAST_LOOK_S, due, expired, is_last_look=True)
        else:
            self.stop()
            expired()
