"""Retries of a chat before its first chunk."""

from __future__ import annotations

import asyncio
import random
import time

from llmstream.errors import UpstreamBusy, UpstreamError

_BUSY_RETRIES = 3


class Retry:
    """The retries before the first chunk: a full queue 3 times in 5 s with jitter, any other fault once and at once."""

    def __init__(self, busy_timeout_s: float) -> None:
        self._busy = 0
        self._others: set[type[UpstreamError]] = set()
        self._until = time.monotonic() + busy_timeout_s

    async def wait(self, error: UpstreamError) -> bool:
        """Waits as long as is due; True to ask again, False to give up."""
        if not isinstance(error, UpstreamBusy):
            first = type(error) not in self._others
            self._others.add(type(error))
            return first
        self._busy += 1
        pause_s = 0.25 * 2**self._busy * random.uniform(0.5, 1)
        if self._busy > _BUSY_RETRIES or time.monotonic() + pause_s > self._until:
            return False
        await asyncio.sleep(pause_s)
        return True
