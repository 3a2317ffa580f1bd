"""The log of llmstream. Logging never raises: nobody may be listening, and a handler may fail."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any


class _Telling(logging.LoggerAdapter[logging.Logger]):
    """A logger whose handlers may fail: a full disk, a closed pipe or a bug there ends no run and stops no start."""

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """Does what `logging.Logger.log` does, and never raises."""
        options.setdefault("stacklevel", 2)
        with suppress(Exception):
            super().log(level, msg, *args, **options)


logger = _Telling(logging.getLogger("llmstream"))
