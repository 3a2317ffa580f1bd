"""The surroundings of a chain that LangChain runs: errors made into ours, a silence ended, leftovers ended."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from llmstream.chain.handlers import notify_status
from llmstream.core.running.callbacks import Watcher
from llmstream.core.running.error_mapping import translate
from llmstream.core.running.stall import StallGuard
from llmstream.core.running.task_cleanup import end_leftovers
from llmstream.errors import ChainFailed
from llmstream.errors.own_frames import all_frames, own_frames
from llmstream.logger import logger
from llmstream.settings import Settings


@asynccontextmanager
async def guarded_run(watcher: Watcher, settings: Settings) -> AsyncGenerator[None]:
    """Runs the block, in which a chain runs whose callbacks `watcher` hears; raises our error for the chain's."""
    notify_status.set(watcher.status)
    stall = StallGuard(watcher, settings)
    try:
        yield
    except BaseException as error:
        watcher.end()
        end_leftovers(watcher, error, lambda: bool(watcher.models))
        if isinstance(error, asyncio.CancelledError):
            stall.raise_if_expired()
            if not _is_cancelled():  # the chain waited for something that was cancelled
                raise chain_failed(error) from error
        elif isinstance(error, Exception) and (ours := translate(error, from_model=watcher.model_failed)) is not None:
            raise ours from error
        raise
    finally:
        stall.stop()


def _is_cancelled() -> bool:
    """True if somebody cancelled the task that runs."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def chain_failed(error: BaseException) -> ChainFailed:
    """The error for an exception of the chain's own: its text goes to the log, under an id, and to nobody else.

    The log names the last line of somebody's own code, or the last of all where none is in the traceback.
    """
    incident = secrets.token_hex(4)
    frames = own_frames(error.__traceback__) or all_frames(error.__traceback__)
    frame = frames[-1] if frames else None
    where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else "?"
    logger.error("chain failed [%s] %s at %s: %.500r", incident, type(error).__name__, where, str(error))
    logger.debug("chain failed [%s]", incident, exc_info=error)
    failure = ChainFailed(f"The chain failed. The log says why, under {incident}.")
    failure.__cause__ = error
    return failure
