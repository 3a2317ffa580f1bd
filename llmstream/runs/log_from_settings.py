"""The log that the settings name, and how many processes there are that would each have one."""

from __future__ import annotations

import os
import sys
from itertools import pairwise

from llmstream.logger import logger
from llmstream.runs.log import RunLog
from llmstream.runs.memory import MemoryLog
from llmstream.settings import Settings


def open_log(settings: Settings) -> RunLog:
    """The log that the settings name: this process's memory, or the store it shares with others.

    Raises `ImportError` with what to install, and `SettingsError` for an address that is none.
    """
    if settings.redis_url is None:
        return MemoryLog(replay_s=settings.replay_s, max_log_bytes=settings.max_log_bytes)
    try:
        from llmstream.runs.redis.log import RedisLog
    except ModuleNotFoundError as error:
        raise ImportError('redis_url (LLMSTREAM_REDIS_URL) needs: pip install "llmstream-toolkit[redis]"') from error
    return RedisLog(settings)


def warn_of_processes(settings: Settings) -> None:
    """Warns where several processes are started that share no store."""
    if settings.redis_url is None and (count := worker_count()) > 1:
        logger.warning(
            "there are %d processes, and each knows its own runs only: who comes back to another one is told that "
            "there is no such run. Set LLMSTREAM_REDIS_URL, which all of them share, or run one process.",
            count,
        )


def worker_count() -> int:
    """The number of processes to start, by `WEB_CONCURRENCY` or `--workers` of uvicorn and gunicorn."""
    words = [*sys.argv[1:], ""]
    said = [os.environ.get("WEB_CONCURRENCY", "")]
    for word, following in pairwise(words):
        name, _, value = word.partition("=")
        if name in ("--workers", "-w"):
            said.append(value or following)
    return max((int(text) for text in said if text.isdecimal()), default=1)
