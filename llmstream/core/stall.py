"""Ends a chain in which an Ollama model has fallen silent: a plain `ChatOllama` would wait for ever."""

from __future__ import annotations

import asyncio
import time

from llmstream.core.watcher import Watcher
from llmstream.errors import LlmstreamError, UpstreamStalled, UpstreamTimeout
from llmstream.settings import Settings


class StallGuard:
    """Cancels the task that made it when a model that `watcher` sees is silent beyond the settings' limits."""

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
        next_look_s = self._look_every_s
        for model in self._watcher.models.values():
            # While a call of a tool is generated Ollama sends nothing, so there only the longer limit holds.
            in_answer = model.streaming and not model.has_tools
            limit_s = self._settings.token_timeout_s if in_answer else self._settings.first_token_timeout_s
            left_s = model.heard_at + limit_s - time.monotonic()
            if model.is_ollama and left_s <= 0:
                kind = UpstreamStalled if model.streaming else UpstreamTimeout
                self._expired = kind(f"Ollama sent nothing for {limit_s:g} s. Ask again.")
                if self._task is not None:
                    self._task.cancel()
                return
            if model.is_ollama:
                next_look_s = min(next_look_s, left_s)
        self._timer = self._loop.call_later(next_look_s, self._look)
