"""What the library logs, as lines on stderr."""

from __future__ import annotations

import logging


class _Lines(logging.Handler):
    """A line on stderr for each record, whatever text of others it holds."""

    def emit(self, record: logging.LogRecord) -> None:
        from llmstream.view.safe import say

        say(self.format(record))


def log_to_stderr() -> None:
    """Show what is logged, unless somebody does already."""
    logger = logging.getLogger("llmstream")
    if not logger.handlers:
        logger.addHandler(_Lines())
