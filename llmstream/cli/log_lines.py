"""The log of the library, as lines on stderr."""

from __future__ import annotations

import logging


class _Lines(logging.Handler):
    """A log handler that writes each record as one safe line to stderr, whatever text of others the record holds."""

    def emit(self, record: logging.LogRecord) -> None:
        from llmstream.view.safe import print_stderr

        print_stderr(self.format(record))


def log_to_stderr() -> None:
    """Shows the log on stderr, unless a handler is set up already."""
    logger = logging.getLogger("llmstream")
    if not logger.handlers:
        logger.addHandler(_Lines())
