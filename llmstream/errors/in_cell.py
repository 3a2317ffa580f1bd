"""Errors in a notebook: whether there is one, and what it shows: the lines of the person's own code, the message."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

_NOT_THEIRS = tuple({
    str(Path(__file__).parents[1]),
    *(sysconfig.get_paths()[each] for each in ("stdlib", "purelib", "platlib")),
    *("<frozen", "<string>"),
})  # fmt: skip
_RED, _PLAIN = "\x1b[31m", "\x1b[0m"


def in_kernel() -> bool:
    """True if this code runs in a notebook's kernel, where an output can be changed after it was shown."""
    shell_of = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return shell_of is not None and getattr(shell_of(), "kernel", None) is not None


class ShownInCell:
    """An exception that IPython shows by the lines of somebody's own code and its message, without our insides.

    cause_is_theirs: whether its cause was raised by somebody's own code; that is shown, too.
    """

    cause_is_theirs = False

    def _render_traceback_(self: Any) -> list[str]:
        return of_cell(self, cause=self.__cause__ if self.cause_is_theirs else None)


def of_cell(error: BaseException, *, cause: BaseException | None = None) -> list[str]:
    """The lines to show of an error; cause: what somebody's own code raised, which is shown before it."""
    shown = [] if cause is None else [*_own_lines(cause.__traceback__), line_of(cause), ""]
    return [*shown, *_own_lines(error.__traceback__), line_of(error)]


def line_of(error: BaseException) -> str:
    """An error as one line, its kind in red."""
    return f"{_RED}{type(error).__name__}{_PLAIN}: {error}"


def _own_lines(trace: TracebackType | None) -> list[str]:
    """The frames of somebody's own code."""
    frames = [frame for frame in traceback.extract_tb(trace) if not frame.filename.startswith(_NOT_THEIRS)]
    return [_shown(frame) for frame in frames]


def _shown(frame: traceback.FrameSummary) -> str:
    is_cell = "ipykernel_" in frame.filename or "<ipython-input" in frame.filename
    where = "Cell" if is_cell else f"File {frame.filename}"
    function = "" if frame.name == "<module>" else f", in {frame.name}"
    return f"{where}, line {frame.lineno}{function}\n    {frame.line}"
