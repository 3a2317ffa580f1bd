"""Ends a chain in which an Ollama model has fallen silent: a plain `ChatOllama` would wait for ever."""

from __future__ import annotations

import asyncio
import math
import time

from llmstream.concurrency import Watchdog
from llmstream.core.chain_part import ChainPart
from llmstream.core.running.callbacks import Watcher
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
        self._watchdog = Watchdog()
        self._watchdog.start(self._due, self._expire)

    def stop(self) -> None:
        """Ends the watching."""
        self._watchdog.stop()

    def raise_if_expired(self) -> None:
        """Raises the error of the silence, if that cancelled the task; called in the task after it was cancelled."""
        if self._expired is not None and self._task is not None and self._task.uncancel() == 0:
            raise self._expired

    def _due(self) -> float:
        left_s = min((model.heard_at + self._limit_s(model) for model in self._watched()), default=math.inf)
        return self._loop.time() + min(left_s - time.monotonic(), self._look_every_s)

    def _expire(self) -> None:
        model = min(self._watched(), key=lambda model: model.heard_at + self._limit_s(model))
        kind = UpstreamStalled if model.streaming else UpstreamTimeout
        self._expired = kind(f"Ollama sent nothing for {self._limit_s(model):g} s. Ask again.")
        if self._task is not None:
            self._task.cancel()

    def _watched(self) -> list[ChainPart]:
        return [model for model in list(self._watcher.models.values()) if model.is_ollama]

    def _limit_s(self, model: ChainPart) -> float:
        # While a call of a tool is generated Ollama sends nothing, so there only the longer limit holds.
        in_answer = model.streaming and not model.has_tools
        return self._settings.token_timeout_s if in_answer else self._settings.first_token_timeout_s
