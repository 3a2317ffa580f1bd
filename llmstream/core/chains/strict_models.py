"""A chain with the models that it shows as strict ones, where nobody else listens to them."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.runnables import (
    Runnable,
    RunnableWithFallbacks,
)
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.config import ensure_config
from langchain_core.runnables.configurable import RunnableConfigurableFields

from llmstream.chain.chat_model import StrictChatOllama
from llmstream.chain.handlers import goes_its_own_way, handlers_in, is_traced
from llmstream.chain.strict_model import strict_of
from llmstream.core.chains.chain_cache import ByChain
from llmstream.core.chains.copies import with_parts
from llmstream.core.chains.inspection import is_graph, unbound


def strict_chain(chain: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """The chain, or one like it whose models answer through the strict reader; what a function hides stays as it is."""
    return chain if is_traced() or handlers_in(ensure_config()) else _strict.get(chain)


def _copy(step: Any) -> Any:  # of whatever class it is
    if isinstance(step, BaseLanguageModel):
        return step if goes_its_own_way(step) else strict_of(step) or step
    if is_graph(step):
        return _graph(step)
    return step if _is_left(step) else with_parts(step, _copy)


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


def _is_left(step: Any) -> bool:
    """True for a step whose models stay as they are, since another one would change what it does."""
    if isinstance(step, RunnableWithFallbacks):  # one for errors of LangChain's own client would never be taken
        return step.exceptions_to_handle != (Exception,) or step.exception_key is not None
    if isinstance(step, RunnableConfigurableFields):  # makes one of its class for each call
        return not isinstance(_copy(step.default), StrictChatOllama)
    return isinstance(step, RunnableBindingBase) and bool(step.config_factories or handlers_in(step.config))


_strict: ByChain[Runnable[Any, Any]] = ByChain(_copy)
