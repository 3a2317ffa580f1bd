"""The structure of a LangGraph graph: which of its nodes may say the last word.

Read from LangGraph 1.2: `get_graph()`, whose edges have `source`, `target` and `conditional`, and `builder.branches`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import Runnable

from llmstream.core.anatomy import ByChain, unbound
from llmstream.core.reader import Part

_END = "__end__"


@dataclass(frozen=True)
class Structure:
    """What a graph's structure says of its text.

    shown: the nodes that can end the graph. A text that has left can't be taken back from most clients, so that of the
    others waits until the state has it. is_rewritten: whether a node may rewrite what a model has said. is_function:
    whether the graph is a function of the functional API. routers: the functions of conditional edges, each as its node
    and its own name; LangGraph runs them as a part of the node that they start from.
    """

    shown: frozenset[str]
    is_rewritten: bool
    is_function: bool
    routers: frozenset[tuple[str, str]]

    def is_router(self, part: Part) -> bool:
        """Whether a part runs in the function of a conditional edge."""
        above = part.parent
        while above is not None and above.parent is not None:
            if (above.parent.name, above.name) in self.routers:
                return True
            above = above.parent
        return False


def _structure(chain: Runnable[Any, Any]) -> Structure:
    chain = unbound(chain)
    graph = chain.get_graph()
    builder = getattr(chain, "builder", None)
    branches = getattr(builder, "branches", {})
    shown = set()
    for node in graph.nodes:
        edges = [edge for edge in graph.edges if edge.source == node]
        ends = any(edge.target == _END for edge in edges)
        # A node that goes on by a `Command` ends the graph where it gives none; no edge says so.
        by_command = all(edge.conditional for edge in edges) and not branches.get(node)
        if ends or by_command:
            shown.add(str(node))
    is_rewritten = any(str(node).endswith((".after_model", ".after_agent")) for node in graph.nodes)
    routers = frozenset((str(node), str(name)) for node, names in branches.items() for name in names)
    return Structure(frozenset(shown), is_rewritten, is_function=builder is None, routers=routers)


structure = ByChain(_structure)
