"""The frames of somebody's own code in a traceback: of an error of ours they are what a person can act on."""

from __future__ import annotations

import functools
import sysconfig
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Error = TypeVar("Error", bound=BaseException)

_NOT_THEIRS = tuple({
    str(Path(__file__).parents[1]),
    *(sysconfig.get_paths()[each] for each in ("stdlib", "purelib", "platlib")),
    *("<frozen", "<string>"),
})  # fmt: skip


def own_frames(trace: TracebackType | None) -> list[TracebackType]:
    """The entries of a traceback that are in somebody's own code: not in ours, nor Python's, nor a package's."""
    return [each for each in all_frames(trace) if not each.tb_frame.f_code.co_filename.startswith(_NOT_THEIRS)]


def shortened(error: Error) -> Error:
    """The error, of whose traceback only somebody's own code is left if it is one of ours; any other is as it was.

    A cause that this code raised, or that a `ChainFailed` is about, is whole from that code on. Of any other the
    message says it all: its traceback is one with the error's, and a debugger finds it in `__context__`.
    """
    cause_is_theirs = getattr(error, "cause_is_theirs", None)
    if cause_is_theirs is None:
        return error
    frames = own_frames(error.__traceback__)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        own = own_frames(cause.__traceback__)
        if cause_is_theirs or (own and own[-1].tb_next is None):
            cause.__traceback__ = own[0] if own else cause.__traceback__
        else:
            error.__cause__, error.__context__ = None, cause
            frames += [each for each in own if each.tb_frame not in [known.tb_frame for known in frames]]
    error.__traceback__ = _joined(frames)
    return error


def raising_shortened(function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """An async function that raises its errors `shortened`."""

    @functools.wraps(function)
    async def called(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return await function(*arguments, **named)
        except Exception as error:
            shortened(error)
            raise

    return called


def _joined(frames: list[TracebackType]) -> TracebackType | None:
    joined: TracebackType | None = None
    for each in reversed(frames):
        joined = TracebackType(joined, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return joined


def all_frames(trace: TracebackType | None) -> list[TracebackType]:
    """The entries of a traceback, the outermost first."""
    frames: list[TracebackType] = []
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    return frames
