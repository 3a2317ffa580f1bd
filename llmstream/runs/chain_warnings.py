"""Warnings of what a chain does that its author may not know."""

from __future__ import annotations

from llmstream.core.job import Job
from llmstream.logger import logger

# A notebook makes new runs in every cell, and there each warning is a red box.
_told: set[str] = set()


def warn_of(job: Job) -> None:
    """Logs the warnings of a chain, each once a process."""
    if job.sync_parts and _is_news("sync"):
        names = ", ".join(repr(name[:80]) for name in job.sync_parts)
        logger.warning(
            "sync functions in the chain: %s. A stop can't end them: they run on in their threads until they return. "
            "Make them async to free the model at once.",
            names,
        )
    if job.has_memory and _is_news("memory"):
        logger.warning(
            "the chain has a memory of its own: every caller adds to it and reads what the others said. Give it no "
            "memory; the conversation comes with each question."
        )


def _is_news(about: str) -> bool:
    if about in _told:
        return False
    _told.add(about)
    return True
