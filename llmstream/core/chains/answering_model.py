"""The model that answers a chain, where the chain shows it and hands on what it says unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import BasePromptTemplate, ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import Runnable, RunnableBinding, RunnablePassthrough, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.config import RunnableConfig, merge_configs
from langchain_core.runnables.retry import RunnableRetry

from llmstream.chain.strict_model import Strict, strict_of
from llmstream.core.chain_part import is_set_apart
from llmstream.core.chains.chain_cache import ByChain
from llmstream.core.chains.inspection import gives_whole, is_sync_only

# By their ids: what a chat model's `bind` gives is a RunnableBinding of another class. A retry does not retry what
# streams (`RunnableRetry` has no `astream` of its own).
_TRANSPARENT = (RunnableBinding.lc_id(), RunnableRetry.lc_id())
# What a model is given that changes how a part of it is told.
_FOR_TRACERS = ("ls_structured_output_format", "structured_output_format")


@dataclass(frozen=True)
class Shape:
    """A chain that is a model, what comes before it, and nothing after it that changes what it says.

    prompt: the step before the model; the name of a variable where it hands on messages as they are, as the default one
    does. before: any other steps that come first, run with `config`; is_whole: see `gives_whole`. kwargs: what is bound
    to the model.
    """

    prompt: BasePromptTemplate[Any] | str | None
    before: Runnable[Any, Any] | None
    is_whole: bool
    model: Strict
    kwargs: Mapping[str, Any]
    config: RunnableConfig


def shape_of(chain: Runnable[Any, Any]) -> Shape | None:
    """The shape of a chain; None for any other chain, and where a callback is bound to one of its parts."""
    return _shapes.get(chain)


def _find(chain: Runnable[Any, Any]) -> Shape | None:
    whole = _opened(chain)
    if whole is None:
        return None
    steps = [chain]
    if type(whole.inner) is RunnableSequence:
        if whole.kwargs:  # they go to the first step
            return None
        steps = list(whole.inner.steps)
        while len(steps) > 1 and _hands_on(steps[-1]):
            steps.pop()
    model = _opened(steps.pop())
    if model is None or _is_apart(model, whole) or (strict := strict_of(model.inner)) is None:
        return None
    prompt, before = _parted(steps)
    if before is not None and is_sync_only(before):
        return None
    is_whole = before is not None and gives_whole(before)
    return Shape(prompt, before, is_whole, strict, model.kwargs, whole.config)


# Looking at a chain takes a tenth of what there is to do before a question is on its way.
_shapes = ByChain(_find)


@dataclass(frozen=True)
class _Opened:
    """A step taken out of its bindings, and what those bind to it."""

    inner: Any
    kwargs: Mapping[str, Any]
    config: RunnableConfig


def _opened(step: Any) -> _Opened | None:
    """A step without its bindings; None where one of them has somebody listen, or is made anew for each call."""
    kwargs: Mapping[str, Any] = {}
    config: RunnableConfig = {}
    while isinstance(step, RunnableBindingBase) and step.lc_id() in _TRANSPARENT:
        if step.config_factories or step.config.get("callbacks"):
            return None
        kwargs, config = {**step.kwargs, **kwargs}, merge_configs(step.config, config)
        step = step.bound
    return _Opened(step, kwargs, config)


def _is_apart(model: _Opened, whole: _Opened) -> bool:
    """True if what the model says would not be told as an answer."""
    configs = (model.config, whole.config)
    return any(name in model.kwargs for name in _FOR_TRACERS) or any(
        is_set_apart(config.get("tags") or (), config.get("metadata") or {}) for config in configs
    )


def _hands_on(step: Any) -> bool:
    """True if a step behind the model hands on what the model says unchanged."""
    inner = opened.inner if (opened := _opened(step)) else None
    if type(inner) is RunnablePassthrough:
        return not (inner.func or inner.afunc)
    return type(inner) is StrOutputParser


def _parted(steps: Sequence[Any]) -> tuple[BasePromptTemplate[Any] | str | None, Runnable[Any, Any] | None]:
    """The steps before the model: the last one, where it is a prompt, and those before that."""
    prompt = steps[-1] if steps and isinstance(steps[-1], BasePromptTemplate) else None
    others = steps if prompt is None else steps[:-1]
    if not others:
        return (prompt and _variable_of(prompt)) or prompt, None
    return prompt, others[0] if len(others) == 1 else RunnableSequence(*others)


def _variable_of(prompt: BasePromptTemplate[Any]) -> str | None:
    """The variable whose messages are all that a prompt makes; None where it makes something of its own."""
    if type(prompt) is not ChatPromptTemplate or prompt.partial_variables:
        return None
    only = prompt.messages[0] if len(prompt.messages) == 1 else None
    if type(only) is not MessagesPlaceholder or only.optional or only.n_messages is not None:
        return None
    return only.variable_name
