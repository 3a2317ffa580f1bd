"""Names that somebody wrote and that there are not, with the nearest of those that there are."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Collection, Iterable
from typing import Any, ParamSpec, TypeVar

from llmstream.errors import in_cell

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_SHOWN = 40  # characters of a name in a message


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """A sentence with the nearest of the known names, behind a space; empty where none is near."""
    found = nearest_of(name, known, cutoff=cutoff)
    return f" Did you mean {found!r}?" if found else ""


def nearest_of(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """The nearest of the known names; empty where none is near."""
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=cutoff)), "")


def check_names(
    function: str, given: Iterable[str], known: Collection[str], *, hint: Callable[[str], str] = lambda name: ""
) -> None:
    """Raises the TypeError that Python has for an argument that a function does not take, with the nearest name.

    hint: a sentence that a name needs more than that, behind a space.
    """
    name = next((each for each in given if each not in known), None)
    if name is not None:
        what_to_do = hint(name) or nearest(name, known) or f" It takes {', '.join(known)}."
        error = TypeError(f"{function}() got an unexpected keyword argument {name[:_SHOWN]!r}.{what_to_do}")
        vars(error)["_render_traceback_"] = lambda: in_cell.of_cell(error)
        raise error


def names_nearest(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """A function, or a class's `__init__`, that names the nearest argument for one that it does not take."""
    made: Any = function
    code = made.__code__
    known = [name for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if name != "self"]
    called = made.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def checked(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> _Result:
        check_names(called, named, known)
        return function(*arguments, **named)

    return checked
