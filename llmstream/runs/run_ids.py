"""The ids of runs, by which their maker knows those that it has made."""

from __future__ import annotations

import re
import secrets

_RUN_ID = re.compile(r"[0-9a-f]{32}")

OF_ANOTHER = "The server was restarted, and this answer was lost with it. Ask again."


class RunIds:
    """The maker of ids: they begin alike, and go on so that nobody can guess one from others."""

    def __init__(self) -> None:
        self._mark = secrets.token_hex(4)

    def new(self) -> str:
        """An id for a run."""
        return self._mark + secrets.token_hex(12)

    def are_foreign(self, run_id: str) -> bool:
        """True for an id that looks like one of a run, and was not made here."""
        return _RUN_ID.fullmatch(run_id) is not None and not run_id.startswith(self._mark)
