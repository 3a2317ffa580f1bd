"""The object that `show` returns before it is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import Any

from llmstream.errors import LlmstreamError
from llmstream.notebook.answer import Answer
from llmstream.notebook.kernel import attended, shown_in

_tasks: set[asyncio.Task[None]] = set()


class Showing(Coroutine[Any, Any, Answer]):
    """An answer to be awaited; the run begins when it is.

    As the last line of a cell that somebody looks at it is awaited by itself, beside the cells that follow. asked: the
    request of its cell.
    """

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, Answer]], asked: Mapping[str, Any]) -> None:
        self._begin = begin
        self._asked = asked
        self._begun: Coroutine[Any, Any, Answer] | None = None

    def __repr__(self) -> str:
        return "<an answer that is not awaited yet: write `await` before it, as in `answer = await show(…)`>"

    def __await__(self) -> Generator[Any, Any, Answer]:
        return self._coroutine().__await__()

    def send(self, value: Any) -> Any:
        """Resumes the awaiting, as a coroutine's `send` does."""
        return self._coroutine().send(value)

    def throw(self, *error: Any) -> Any:
        """Raises an exception in the awaiting, as a coroutine's `throw` does."""
        return self._coroutine().throw(*error)

    def close(self) -> None:
        """Ends the awaiting, as a coroutine's `close` does; an answer that has not begun never does."""
        if self._begun is not None:
            self._begun.close()

    def _ipython_display_(self) -> None:
        if not attended():  # a program that runs a notebook takes nothing from a cell that has ended
            raise NotImplementedError  # so the repr says what to write
        try:
            task = asyncio.get_running_loop().create_task(self._to_its_end())
        except RuntimeError:  # no loop, so nothing can be awaited
            raise NotImplementedError from None
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    async def _to_its_end(self) -> None:
        try:
            await self
        except LlmstreamError as error:
            with shown_in(self._asked):
                print(f"{type(error).__name__}: {error.message}")  # noqa: T201

    def _coroutine(self) -> Coroutine[Any, Any, Answer]:
        self._begun = self._begun or self._begin()
        return self._begun
