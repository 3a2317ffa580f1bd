"""The parts that LangChain leaves running when a chain is cancelled or fails: branches, and generators nobody closes.

Each of them may hold the connection of a model that goes on generating, so they are ended here.
"""

from __future__ import annotations

import asyncio
import gc
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

# A generator that is freed is closed by the event loop; one in a reference cycle waits for the garbage collector. It is
# through what is young in no time; all of it stops the process for a tenth of a second, so once for all runs together.
_COLLECT_YOUNG_AFTER_S, _COLLECT_ALL_AFTER_S = 0.05, 0.15
_all_collected_at = 0.0


def end_leftovers(handler: object, error: BaseException, still_running: Callable[[], bool]) -> None:
    """Ends what is left of the run that a callback handler listened to, which ended with `error`.

    still_running: whether a model of the run was neither told to have ended nor to have failed.
    """
    for task in asyncio.all_tasks():
        if handler in _handlers(_branch(task)):
            task.cancel()
    if still_running():
        _clear_frames(error)
        asyncio.get_running_loop().call_later(_COLLECT_YOUNG_AFTER_S, _collect_young, still_running)


def end_branch() -> None:
    """Cancels the task that calls, where it is a branch of LangChain's own: one that began after its run had ended."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # in a thread
        return
    if task is not None and _branch(task) is not None:
        task.cancel()


def _branch(task: asyncio.Task[Any]) -> Any:
    """The generator that a task of a `RunnableParallel` reads.

    It waits for these tasks with `asyncio.wait`, which leaves them running when it is cancelled or one of them fails.
    Source: langchain_core/runnables/base.py (RunnableParallel._atransform).
    """
    frame = getattr(task.get_coro(), "cr_frame", None)
    if frame is None or frame.f_code.co_name != "get_next_chunk":
        return None
    return frame.f_locals.get("generator")


def _handlers(generator: Any) -> list[Any]:
    frame = getattr(generator, "ag_frame", None)
    config = frame.f_locals.get("config") if frame is not None else None
    return list(getattr(config.get("callbacks"), "handlers", ())) if isinstance(config, Mapping) else []


def _clear_frames(error: BaseException | None) -> None:
    """Releases the generators that the frames of an error hold."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _collect_young(still_running: Callable[[], bool]) -> None:
    if still_running():
        gc.collect(1)
        asyncio.get_running_loop().call_later(_COLLECT_ALL_AFTER_S, _collect_all, still_running, time.monotonic())


def _collect_all(still_running: Callable[[], bool], unless_since: float) -> None:
    global _all_collected_at
    if still_running() and _all_collected_at < unless_since:  # it may be a thread that goes on, which nothing ends
        _all_collected_at = time.monotonic()
        gc.collect()
