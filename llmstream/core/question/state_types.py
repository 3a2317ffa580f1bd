"""The keys of what a LangGraph graph takes, and what stands under them, by their types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable

from llmstream.core.chains.inspection import is_graph, unbound


def state_types(chain: Runnable[Any, Any]) -> Mapping[str, Any] | None:
    """The keys of what a LangGraph graph takes, each with its type; None for another chain."""
    chain = unbound(chain)
    builder = getattr(chain, "builder", None)
    schema = getattr(builder, "input_schema", None) or getattr(builder, "state_schema", None)
    if schema is None or not is_graph(chain):
        return None
    try:
        return get_type_hints(schema, include_extras=True)
    except (NameError, TypeError):  # names of a module that is not there any more
        return dict.fromkeys(getattr(schema, "__annotations__", {}))


def holds_messages(type_: Any) -> bool:
    """True if a type is that of a list of messages, by what its items are or by LangGraph's reducer of messages."""
    bare = _bare(type_)
    return (get_origin(bare) or bare) in (list, Sequence) and any(
        issubclass(leaf, BaseMessage) if isinstance(leaf, type) else leaf.__module__ == "langgraph.graph.message"
        for leaf in _leaves(type_)
        if hasattr(leaf, "__module__")
    )


def is_text(type_: Any) -> bool:
    """True if a type is that of a text."""
    return _bare(type_) is str


def _bare(type_: Any) -> Any:
    """A type without what is annotated to it."""
    return get_args(type_)[0] if get_origin(type_) is Annotated else type_


def _leaves(type_: Any) -> list[Any]:
    return [leaf for part in get_args(type_) for leaf in _leaves(part)] or [type_]
