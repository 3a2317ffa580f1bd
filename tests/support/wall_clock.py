"""The clock on the wall of a process, which is set forward and back while it runs; what time passes, it sees right."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.lacking import lacking

_LIBRARY = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


class WallClock:
    """A clock that processes of their own have."""

    def __init__(self, folder: Path) -> None:
        if not _LIBRARY:
            lacking("libfaketime", "apt-get install libfaketime")
        self._file = folder / "clock"
        self.set("+0")
        self._environment = {
            **os.environ,
            "LD_PRELOAD": str(_LIBRARY[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",  # its name before
        }

    @contextmanager
    def process(self, module: str, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """What `python -m module arguments` is, with this clock; a forked one would have that of its parent."""
        with subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**self._environment, **environment},
        ) as process:
            try:
                yield process
            finally:
                process.send_signal(signal.SIGCONT)
                process.kill()

    def set(self, offset: str) -> None:
        """Set it, as `+5h` or `-1d` beside the right time."""
        new = self._file.with_suffix(".new")
        new.write_text(offset)
        new.replace(self._file)
