"""Generator functions as chains: what they take is told by their parameters, and what they yield is the answer."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Set
from contextlib import aclosing
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_openai_messages
from langchain_core.runnables import RunnableGenerator

# Not a value of the question's: LangChain's config of the run, as its own functions get it.
_CONFIG = "config"
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
        name = getattr(function, "__name__", None) or type(function).__name__
        if _is_async(function):
            super().__init__(_iterated_async(call), name=name)
        else:
            super().__init__(_iterated(call), name=name)


def generator_chain(chain: object) -> GeneratorChain | None:
    """The chain of a generator function, a method, or an object that is called like one; None for anything else."""
    if not callable(chain) or not (_is_async(chain) or _is_of(chain, inspect.isgeneratorfunction)):
        return None
    return GeneratorChain(chain)


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


def _iterated_async(call: Callable[..., AsyncGenerator[Any, None]]) -> Callable[..., AsyncIterator[Any]]:
    async def transform(inputs: AsyncIterator[Mapping[str, Any]], config: Any) -> AsyncIterator[Any]:
        async for values in inputs:
            async with aclosing(call(values, config)) as pieces:
                async for piece in pieces:
                    yield piece

    return transform


def _iterated(call: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    def transform(inputs: Iterator[Mapping[str, Any]], config: Any) -> Iterator[Any]:
        for values in inputs:
            yield from call(values, config)

    return transform
