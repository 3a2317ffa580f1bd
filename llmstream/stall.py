"""Ends a chain whose Ollama model has fallen silent: a plain `ChatOllama` would wait for ever."""

from __future__ import annotations

import asyncio
import time

from llmstream.errors import LlmstreamError, UpstreamStalled, UpstreamTimeout
from llmstream.outputs import Watcher
from llmstream.settings import Settings


class StallGuard:
    """Cancels the task that made it when the model that `watcher` sees is silent beyond the settings' limits."""

    def __init__(self, watcher: Watcher, settings: Settings) -> None:
        self._watcher = watcher
        self._settings = settings
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._expired: LlmstreamError | None = None
        self._look_every_s = min(settings.first_token_timeout_s, settings.token_timeout_s)
        self._timer = self._loop.call_later(self._look_every_s, self._look)

    def stop(self) -> None:
        """No more looking."""
        self._timer.cancel()

    def raise_if_expired(self) -> None:
        """In the task, after it was cancelled: raise what the silence means, if it was the silence."""
        if self._expired is not None and self._task is not None and self._task.uncancel() == 0:
            raise self._expired

    def _look(self) -> None:
        watcher = self._watcher
        # While a call of a tool is generated Ollama sends nothing, so there only the longer limit holds.
        in_answer = watcher.streaming and not watcher.has_tools
        limit_s = self._settings.token_timeout_s if in_answer else self._settings.first_token_timeout_s
        left_s = watcher.heard_at + limit_s - time.monotonic()
        if left_s > 0 or not any(watcher.models.values()):
            self._timer = self._loop.call_later(left_s if left_s > 0 else self._look_every_s, self._look)
            return
        kind = UpstreamStalled if watcher.streaming else UpstreamTimeout
        self._expired = kind(f"Ollama sent nothing for {limit_s:g} s. Ask again.")
        if self._task is not None:
            self._task.cancel()
