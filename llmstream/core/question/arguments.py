"""The arguments of a question, checked before anything begins: their names, and what kind of value each takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from llmstream.core.question.inputs import Arguments
from llmstream.errors import InvalidRequest, nearest
from llmstream.settings import SAMPLING_OPTIONS, Settings, Thinking

_NAMES = tuple(name for name in Arguments.__annotations__ if name != "demanded")
_LEVELS = [level for part in get_args(Thinking) for level in get_args(part)]
_OPTIONS = (
    *SAMPLING_OPTIONS, "num_ctx", "num_keep", "num_batch", "num_gpu", "num_thread", "main_gpu", "use_mmap",
    "max_tokens",
)  # fmt: skip

# None, or one of these classes, in these words.
_TAKES: dict[str, tuple[tuple[type[Any], ...], str]] = {
    "answer_nodes": ((Sequence,), "a list of names"),
    "config": ((Mapping,), "a dict, LangChain's config"),
    "context": ((str,), "a text"),
    "format": ((str, Mapping), 'a dict, the JSON schema of the answer, or "json"'),
    "history": ((Sequence,), "a list of messages"),
    "inputs": ((Mapping,), "a dict of the chain's variables"),
    "model": ((str,), "the name of a model"),
    "options": ((Mapping,), 'a dict, such as {"temperature": 0.2}'),
    "resume": ((Mapping,), "a dict, from the id of each interrupt to its answer"),
    "settings": ((Settings,), "a Settings, such as Settings(temperature=0.2)"),
    "thread": ((str,), "the name of a conversation"),
    "tools": ((Sequence,), "a list of dicts"),
}


def check_names(function: str, given: Iterable[str]) -> None:
    """Raises a TypeError, as Python does, for an argument beside the question that a function does not take."""
    if not (given := [name for name in given if name != "demanded"]):
        return
    nearest.check_names(function, given, _NAMES, hint=_as_option)


def _as_option(name: str) -> str:
    if name in ("system", "system_prompt"):
        return ' It is a setting, settings=Settings(system_prompt="…"), or a message of the role system.'
    return f' It is an option: options={{"{name}": …}}.' if name in _OPTIONS else ""


def check_values(arguments: Arguments) -> None:
    """Raises `InvalidRequest` for a value of the wrong kind, with what the argument takes."""
    for name, value in arguments.items():
        kinds, words = _TAKES.get(name, ((), ""))
        if value is None or not kinds:
            continue
        if not isinstance(value, kinds) or (kinds == (Sequence,) and isinstance(value, str | bytes)):
            raise InvalidRequest(f"{name} takes {words}, got {_told(value)}.")
    thinking = arguments.get("thinking")
    if not (thinking is None or isinstance(thinking, bool) or thinking in _LEVELS):
        raise InvalidRequest(f"thinking takes True, False or one of {', '.join(_LEVELS)}, got {_told(thinking)}.")
    for option in arguments.get("options") or ():
        if option not in _OPTIONS and (near := nearest.nearest(str(option), _OPTIONS, cutoff=0.85)):
            raise InvalidRequest(f"options has {_told(option)}, which no model takes.{near}")


def _told(value: object) -> str:
    """A value that was given, or its type where it is more than a word: it may hold somebody's text."""
    text = repr(value)
    return text if isinstance(value, str | int | float) and len(text) <= 40 else type(value).__name__
