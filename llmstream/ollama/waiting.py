"""The wait for the first token of an answer: what is told of it while it lasts, and what is learned at its end."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Self

from llmstream.errors import LlmstreamError
from llmstream.events import Status
from llmstream.ollama.chunks import Chunk, LastChunk
from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.forecast import FORECASTS, Forecast, Forecasts, Prompt, about, progress_of, prompt_of

_AGAIN_S = 1.0


# Takes what is told of the wait for an answer.
Notify = Callable[[Status], None]


def ignore(status: Status) -> None:
    """The `Notify` of who does not listen."""


class Waiting:
    """The wait for one answer; a context manager, in which the answer is asked for and read.

    `notify` is told about once a second, from `tell_after_s` of the endpoint on until something comes, where the server
    tells how far it is or earlier answers let it be guessed. Nothing is computed before.

    loaded: whether a model is in memory. clock: in seconds.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        body: Mapping[str, Any],
        notify: Notify,
        loaded: Callable[[str], Awaitable[bool]],
        *,
        forecasts: Forecasts = FORECASTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint, self._body, self._notify, self._loaded = endpoint, body, notify, loaded
        self._forecasts, self._clock = forecasts, clock
        self._model = str(body.get("model", ""))
        self._forecast: Forecast | None = None
        self._loading = self._cut = False
        self._began = self._counted_from = clock()
        self._first_read: tuple[float, int] | None = None  # when, and how much of the prompt was read then
        self._last_read = (0.0, 0, 0)  # the same for now, and how much there is
        self._progress = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        # asyncio keeps a timer that is cancelled to its time, and the context with it, which would keep a run's things.
        context = contextvars.Context()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._endpoint.tell_after_s, self._begin, context=context)
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def end(self) -> None:
        """Ends the telling: the answer begins, or is not waited for any more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def cut(self) -> None:
        """Notes that the prompt is too long and will be cut: its size tells nothing then."""
        self._cut, self._forecast = True, None

    def read(self, done: int, total: int) -> None:
        """Notes that the server has read so many tokens of the prompt, of so many that it must read."""
        if done > 0:  # before, there is no pace
            now = self._clock()
            self._first_read = self._first_read or (now, done)
            self._last_read = now, done, total

    def learn(self, last: Chunk) -> None:
        """Takes in the counters of the last chunk."""
        if isinstance(last, LastChunk):
            self._forecasts.learn(self._endpoint.url, self._model, self._prompt(), last)

    async def look(self) -> None:
        """Looks whether the model is being loaded, and makes the forecast the first time."""
        was_loading = self._loading
        with suppress(LlmstreamError):  # the request itself will tell what is wrong
            self._loading = not await self._loaded(self._model)
        if self._forecast is None and (prompt := self._prompt()) is not None:
            self._forecast = self._forecasts.of(self._endpoint.url, self._model, prompt, loaded=not self._loading)
        elif self._forecast is not None and was_loading and not self._loading:
            self._forecast = dataclasses.replace(self._forecast, load_s=0.0)
            self._counted_from = self._clock()

    def status(self) -> Status | None:
        """The state of the wait now, None where nothing is known of it."""
        now = self._clock()
        if self._first_read is not None:
            left_s, tokens = self._left_to_read(now), self._last_read[2]
            what = f"Reading the prompt, {tokens:,} tokens"
        elif self._forecast is not None:
            left_s = self._forecast.load_s + self._forecast.read_s - (now - self._counted_from)
            tokens = self._forecast.tokens
            what = f"Loading {self._model} into memory" if self._loading else f"Reading the prompt, {_some(tokens)}"
        else:
            return None
        self._progress = max(self._progress, progress_of(now - self._began, left_s))
        detail = f"{what}: {about(left_s)} left." if left_s > 0 else f"{what}: it takes longer than the last times."
        return Status(
            "loading" if self._loading else "waiting",
            detail,
            eta_s=round(left_s, 1) if left_s > 0 else None,
            progress=self._progress,
            tokens=tokens,
        )

    def _left_to_read(self, now: float) -> float:
        """The seconds that the rest of the prompt takes, at the pace so far."""
        (begun, before), (at, done, total) = self._first_read or (0.0, 0), self._last_read
        if at <= begun or done <= before:  # heard of once only
            begun, before = self._began, 0
        per_s = (done - before) / (at - begun) if at > begun else 0.0
        return max((total - done) / per_s - (now - at), 0.1) if per_s else 0.0

    def _prompt(self) -> Prompt | None:
        return None if self._cut else prompt_of(self._body)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        await self.look()
        while True:
            if (status := self.status()) is not None:
                self._notify(status)
            await asyncio.sleep(_AGAIN_S)
            if self._loading:
                await self.look()


def _some(tokens: int) -> str:
    """The number of tokens in two digits: it is a guess."""
    digits = max(len(str(tokens)) - 2, 0)
    return f"about {round(tokens, -digits):,} tokens"
