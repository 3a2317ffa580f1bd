"""The structure of a LangGraph graph: which of its nodes may say the last word.

Read from LangGraph 1.2: a graph's `builder` (None for a function of the functional API) has `nodes`, `edges` (pairs),
`waiting_edges` (from several nodes to one), and `branches`, whose `ends` are a map to nodes, or None. A node runs as a
sequence, of its own steps first, and then of what writes its result and chooses the next node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import Runnable

from llmstream.core.chain_part import ChainPart, step_of
from llmstream.core.chains.by_chain import ByChain
from llmstream.core.chains.inspection import has_fallbacks, last_steps

_END = "__end__"


@dataclass(frozen=True)
class Structure:
    """The facts about a graph's text that follow from its structure.

    nodes: their names. shown: those that can end the graph. A text that has left can't be taken back from most clients,
    so that of the others waits until the state has it. is_rewritten: whether a node may rewrite what a model has said.
    is_function: whether the graph is a function of the functional API. own_steps: how many steps a node has before
    those that choose the next one, also of the nodes of subgraphs. private: the keys of the state that are no part of
    what the graph gives back.
    """

    nodes: frozenset[str]
    shown: frozenset[str]
    is_rewritten: bool
    is_function: bool
    own_steps: Mapping[str, int]
    private: frozenset[str]

    def is_router(self, part: ChainPart) -> bool:
        """True if a part runs in the path of a conditional edge: LangGraph runs it as a part of the node before."""
        above: ChainPart | None = part
        while above is not None and above.parent is not None:
            node = above.parent
            if any(tag.startswith("graph:step:") for tag in node.tags):
                own = self.own_steps.get(node.name)
                if own is not None and step_of(above) > own:
                    return True
            above = node
        return False


def _structure(chain: Runnable[Any, Any]) -> Structure:
    """The structure of a chain that ends in graphs, one of which answers."""
    graphs = last_steps(chain)
    ways = [_of_graph(graph) for graph in graphs]
    held = {node for way in ways for node in way.nodes - way.shown}
    return Structure(
        nodes=frozenset(node for way in ways for node in way.nodes),
        shown=frozenset(node for way in ways for node in way.shown if node not in held and not has_fallbacks(chain)),
        is_rewritten=any(way.is_rewritten for way in ways),
        is_function=any(way.is_function for way in ways),
        own_steps={node: count for way in ways for node, count in way.own_steps.items()},
        private=frozenset(key for way in ways for key in way.private).difference(*map(_given, graphs)),
    )


def _of_graph(graph: Any) -> Structure:
    builder = getattr(graph, "builder", None)
    nodes = [str(node) for node in (builder.nodes if builder is not None else graph.get_graph().nodes)]
    graphs = [graph, *(inner for _, inner in graph.get_subgraphs(recurse=True))]
    return Structure(
        nodes=frozenset(nodes),
        shown=frozenset(node for node in nodes if builder is None or _can_end(builder, node)),
        is_rewritten=any(node.endswith((".after_model", ".after_agent")) for node in nodes),
        is_function=builder is None,
        own_steps={str(name): _own_steps(node) for each in reversed(graphs) for name, node in each.nodes.items()},
        private=_keys(graph, "stream_channels_list") - _given(graph),
    )


def _own_steps(node: Any) -> int:
    return len(getattr(node.bound, "steps", None) or [node.bound])


def _given(graph: Any) -> frozenset[str]:
    return _keys(graph, "output_channels")


def _keys(graph: Any, channels: str) -> frozenset[str]:
    """The keys of a state in these channels; a state that is one value has none."""
    found = getattr(graph, channels)
    return frozenset() if isinstance(found, str) else frozenset(map(str, found))


def _can_end(builder: Any, node: str) -> bool:
    """True if a graph may end behind a node: where an edge, a branch, or nothing at all says that it may.

    A node that goes on by a `Command` ends the graph where it gives none, and a branch without a map may lead anywhere.
    """
    joined = {source for sources, _ in builder.waiting_edges for source in sources}
    targets = {target for source, target in builder.edges if source == node}
    if targets or node in joined:
        return _END in targets
    ways = [branch.ends for branch in builder.branches.get(node, {}).values()]
    return not ways or any(ends is None or _END in ends.values() for ends in ways)


structure = ByChain(_structure)
