"""A chain with the models that it shows as strict ones, where nobody else listens to them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.runnables import (
    Runnable,
    RunnableBranch,
    RunnableParallel,
    RunnableSequence,
    RunnableWithFallbacks,
)
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.config import ensure_config
from langchain_core.runnables.configurable import RunnableConfigurableAlternatives, RunnableConfigurableFields
from langchain_core.runnables.passthrough import RunnableAssign

from llmstream.chain.chat_model import StrictChatOllama
from llmstream.chain.listening import goes_its_own_way, handlers_in, is_traced
from llmstream.chain.strict import strict_of
from llmstream.core.anatomy import ByChain, is_graph, unbound


def strict_chain(chain: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """The chain, or one like it whose models answer through the strict reader; what a function hides stays as it is."""
    return chain if is_traced() or handlers_in(ensure_config()) else _strict.get(chain)


def _copy(step: Any) -> Any:  # of whatever class it is
    if isinstance(step, BaseLanguageModel):
        return step if goes_its_own_way(step) else strict_of(step) or step
    if is_graph(step):
        return _graph(step)
    changes = _changes(step)
    is_same = all(getattr(step, name) is value for name, value in changes.items())
    return step if is_same else step.model_copy(update=changes)


def _graph(graph: Any) -> Any:
    """A LangGraph graph whose nodes are other ones, where they are chains that show their models."""
    inner: Any = unbound(graph)
    nodes = {}
    for name, node in inner.nodes.items():
        bound = _copy(node.bound)
        nodes[name] = node if bound is node.bound else _with(node, bound=bound)
    if all(nodes[name] is node for name, node in inner.nodes.items()):
        return graph
    made = _with(inner, nodes=nodes)
    return made if graph is inner else graph.model_copy(update={"bound": made})


def _with(original: Any, **changes: Any) -> Any:
    """A copy with these attributes changed, and without what the original worked out from them (`cached_property`)."""
    made = copy.copy(original)
    for name, value in vars(type(original)).items():
        if isinstance(value, cached_property):
            vars(made).pop(name, None)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def _changes(step: Any) -> dict[str, Any]:
    """The parts of a step that are other ones in its copy."""
    if isinstance(step, RunnableSequence):
        return {"first": _copy(step.first), "middle": _copies(step.middle), "last": _copy(step.last)}
    if isinstance(step, RunnableParallel):
        return {"steps__": _copies(step.steps__)}
    if isinstance(step, RunnableAssign):
        return {"mapper": _copy(step.mapper)}
    if isinstance(step, RunnableBranch):
        ways = [_copy(way) for _, way in step.branches]
        branches = [(condition, way) for (condition, _), way in zip(step.branches, ways, strict=True)]
        is_same = all(way is before for way, (_, before) in zip(ways, step.branches, strict=True))
        return {"branches": step.branches if is_same else branches, "default": _copy(step.default)}
    if isinstance(step, RunnableWithFallbacks):
        # One for errors of LangChain's own client would never be taken.
        is_for_all = step.exceptions_to_handle == (Exception,) and step.exception_key is None
        return {"runnable": _copy(step.runnable), "fallbacks": _copies(step.fallbacks)} if is_for_all else {}
    if isinstance(step, RunnableConfigurableFields):
        default = _copy(step.default)  # makes one of its class for each call
        return {"default": default} if isinstance(default, StrictChatOllama) else {}
    if isinstance(step, RunnableConfigurableAlternatives):
        return {"default": _copy(step.default), "alternatives": _copies(step.alternatives)}
    if isinstance(step, RunnableBindingBase) and not step.config_factories and not handlers_in(step.config):
        return {"bound": _copy(step.bound)}
    return {}


def _copies(steps: Any) -> Any:
    """The copies of several steps, in a container of the same kind; the very same where none is another one."""
    if isinstance(steps, Mapping):
        made = {key: _copy(step) if isinstance(step, Runnable) else step for key, step in steps.items()}
        return steps if all(made[key] is step for key, step in steps.items()) else made
    copies = [_copy(step) for step in steps]
    return steps if all(new is old for new, old in zip(copies, steps, strict=True)) else copies


_strict: ByChain[Runnable[Any, Any]] = ByChain(_copy)
