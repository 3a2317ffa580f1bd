"""Errors in a notebook, and what it shows of them: the lines of the person's own code, the message."""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Any

from llmstream.errors.own_frames import own_frames

_RED, _PLAIN = "\x1b[31m", "\x1b[0m"


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
    own = ((each.tb_frame, each.tb_lineno) for each in own_frames(trace))
    return [_shown(frame) for frame in traceback.StackSummary.extract(own)]


def _shown(frame: traceback.FrameSummary) -> str:
    is_cell = "ipykernel_" in frame.filename or "<ipython-input" in frame.filename
    where = "Cell" if is_cell else f"File {frame.filename}"
    function = "" if frame.name == "<module>" else f", in {frame.name}"
    return f"{where}, line {frame.lineno}{function}\n    {frame.line}"
