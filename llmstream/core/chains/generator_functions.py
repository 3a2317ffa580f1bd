"""Generator functions as chains: what they take is told by their parameters, and what they yield is the answer."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping, Set
from contextlib import aclosing, closing
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_openai_messages
from langchain_core.runnables import RunnableGenerator

from llmstream.errors import ChainFailed, InvalidRequest
from llmstream.logger import logger

# Not a value of the question's: LangChain's config of the run, as its own functions get it.
_CONFIG = "config"

# What LangChain gives to a function beside its input.
_GIVEN = frozenset((_CONFIG, "run_manager"))

# So many pieces that each begin with the one before are hardly chance; so many characters said again are none.
_REPEATED, _SAID_AGAIN = 3, 40
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class GeneratorChain(RunnableGenerator[Mapping[str, Any], Any]):
    """A generator function, async or not, called once a question with the values of its parameters by their names.

    Messages are given as dicts in OpenAI's form (role, content), which the clients of models take, and LangChain's too.
    parameters: from each name to whether it may be left out.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        named = [each for each in inspect.signature(function).parameters.values() if each.kind in _NAMED]
        self.parameters = {each.name: each.default is not each.empty for each in named if each.name != _CONFIG}
        call = functools.partial(_call, function, frozenset(each.name for each in named))
        name = _name(function)
        if _is_async(function):
            super().__init__(_iterated_async(call, name), name=name)
        else:
            super().__init__(_iterated(call, name), name=name)


class _Repeating:
    """A look at the first pieces of an answer, which ends that of a function that yields the whole text each time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last: str | None = ""
        self._count = self._said_again = 0

    def look(self, piece: object) -> None:
        """Raises `ChainFailed` once it is certain: the answer would look complete, and say everything many times."""
        if self._last is None:
            return
        if not isinstance(piece, str) or len(piece) <= len(self._last) or not piece.startswith(self._last):
            self._last = None
            return
        self._count += bool(self._last.strip())
        self._said_again += len(self._last.strip())
        self._last = piece
        told = f"`{self._name}` yields the text so far again each time: have it yield only what is new."
        if self._count == _REPEATED:
            logger.warning(told)
        if self._count >= _REPEATED and self._said_again > _SAID_AGAIN:
            raise ChainFailed(told)


def generator_chain(chain: object) -> GeneratorChain | None:
    """The chain of a generator function, a method, or an object that is called like one; None for anything else."""
    if not callable(chain) or not (_is_async(chain) or _is_of(chain, inspect.isgeneratorfunction)):
        return None
    _check_takes_anything(chain, "yield")
    return GeneratorChain(chain)


def returning_chain(function: Callable[..., Any]) -> GeneratorChain | None:
    """The chain of a function that returns its answer, and takes all messages or more than the question; else None."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # one that tells no signature
        return None
    _check_takes_anything(function, "return")
    more = [each.name for each in parameters[1:] if each.kind in _NAMED and each.default is each.empty]
    if parameters[0].name != "messages" and not set(more) - _GIVEN:
        return None
    return GeneratorChain(_yielding(function))


def _yielding(function: Callable[..., Any]) -> Callable[..., Any]:
    """A generator function of the one answer that a function returns."""

    @functools.wraps(function)
    def answer(**values: Any) -> Generator[Any]:
        yield function(**values)

    @functools.wraps(function)
    async def answer_async(**values: Any) -> AsyncGenerator[Any, None]:
        yield await function(**values)

    return answer_async if _is_of(function, inspect.iscoroutinefunction) else answer


def _check_takes_anything(function: Callable[..., Any], gives: str) -> None:
    if not inspect.signature(function).parameters:
        raise InvalidRequest(
            f"{_name(function)!r} takes no argument, so it would not know what is asked. Give it one, as in "
            f"`def {_name(function)}(question): {gives} …`."
        )


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", None) or type(function).__name__


def _is_async(function: Callable[..., Any]) -> bool:
    return _is_of(function, inspect.isasyncgenfunction)


def _is_of(function: Callable[..., Any], is_kind: Callable[[Any], bool]) -> bool:
    return is_kind(function) or is_kind(getattr(function, "__call__", None))  # noqa: B004 - its own, not its class's


def _takes_any(function: Callable[..., Any]) -> bool:
    return any(each.kind is each.VAR_KEYWORD for each in inspect.signature(function).parameters.values())


def _call(function: Callable[..., Any], names: Set[str], values: Mapping[str, Any], config: Any) -> Any:
    given = {name: _plain(value) for name, value in values.items() if name in names or _takes_any(function)}
    return function(**given, **({_CONFIG: config} if _CONFIG in names else {}))


def _plain(value: Any) -> Any:
    """A list of messages as dicts; any other value as it is."""
    if isinstance(value, list) and value and all(isinstance(each, BaseMessage) for each in value):
        return convert_to_openai_messages(value)
    return value


def _iterated_async(call: Callable[..., AsyncGenerator[Any, None]], name: str) -> Callable[..., AsyncIterator[Any]]:
    async def transform(inputs: AsyncIterator[Mapping[str, Any]], config: Any) -> AsyncIterator[Any]:
        repeating = _Repeating(name)
        async for values in inputs:
            async with aclosing(call(values, config)) as pieces:
                async for piece in pieces:
                    repeating.look(piece)
                    yield piece

    return transform


def _iterated(call: Callable[..., Generator[Any]], name: str) -> Callable[..., Iterator[Any]]:
    def transform(inputs: Iterator[Mapping[str, Any]], config: Any) -> Iterator[Any]:
        repeating = _Repeating(name)
        for values in inputs:
            with closing(call(values, config)) as pieces:
                for piece in pieces:
                    repeating.look(piece)
                    yield piece

    return transform
