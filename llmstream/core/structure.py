"""The structure of a LangGraph graph: which of its nodes may say the last word.

Read from LangGraph 1.2: `get_graph()`, whose edges have `source`, `target` and `conditional`, and `builder.branches`.
"""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import Runnable

from llmstream.core.anatomy import ByChain, unbound

_END = "__end__"


def _shown_nodes(chain: Runnable[Any, Any]) -> tuple[frozenset[str], bool]:
    """The nodes that can end the graph, and whether a node may rewrite what a model has said.

    A text that has left can't be taken back from most clients, so the text of other nodes waits until the state has it.
    """
    chain = unbound(chain)
    graph = chain.get_graph()
    branches = getattr(getattr(chain, "builder", None), "branches", {})
    shown = set()
    for node in graph.nodes:
        edges = [edge for edge in graph.edges if edge.source == node]
        ends = any(edge.target == _END for edge in edges)
        # A node that goes on by a `Command` ends the graph where it gives none; no edge says so.
        by_command = all(edge.conditional for edge in edges) and not branches.get(node)
        if ends or by_command:
            shown.add(str(node))
    is_rewritten = any(str(node).endswith((".after_model", ".after_agent")) for node in graph.nodes)
    return frozenset(shown), is_rewritten


shown_nodes = ByChain(_shown_nodes)
