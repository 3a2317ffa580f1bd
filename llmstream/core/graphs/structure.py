"""The structure of a LangGraph graph: which of its nodes may say the last word.

Read from LangGraph 1.2: a graph's `builder` (None for a function of the functional API) has `nodes`, `edges` (pairs),
`waiting_edges` (from several nodes to one), and `branches`, whose `ends` are a map to nodes, or None. A node runs as a
sequence, of its own steps first, and then of what writes its result and chooses the next node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from langchain_core.runnables import Runnable

from llmstream.core.chain_part import ChainPart, step_of
from llmstream.core.chains.chain_cache import ByChain
from llmstream.core.chains.inspection import has_fallbacks, last_steps

_END = "__end__"

# The names of nodes, the outermost graph's first, each of a graph that the node before it runs.
Path: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class Structure:
    """The facts about a graph's text that follow from its structure.

    nodes: their names. shown: those that can end the graph, and are not run again where they fail. A text that has left
    can't be taken back from most clients, so that of the others waits until the state has it. inner_held: the nodes of
    subgraphs that can't end theirs, each by its path, the outermost graph's node first. functions: the paths of the
    functions of the functional API, whose tasks work for them. is_rewritten: whether a node may rewrite what a model
    has said. own_steps: how many steps a node has before those that choose the next one, also of the nodes of
    subgraphs. private: the keys of the state that are no part of what the graph gives back.
    """

    nodes: frozenset[str]
    shown: frozenset[str]
    inner_held: frozenset[Path]
    functions: frozenset[Path]
    is_rewritten: bool
    own_steps: Mapping[str, int]
    private: frozenset[str]

    @property
    def is_function(self) -> bool:
        """True if the graph is a function of the functional API, which returns its answer and no state."""
        return any(len(path) == 1 for path in self.functions)

    def may_end(self, path: Path) -> bool:
        """True if each graph in which a model runs may end behind the node on its path, and leave its text as it is."""
        levels = {path[:length] for length in range(1, len(path) + 1)}
        is_held = bool(levels & self.inner_held) or bool((levels - {path}) & self.functions)
        return path[0] in self.shown and not is_held and not self.is_rewritten

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
        inner_held=frozenset(path for way in ways for path in way.inner_held),
        functions=frozenset(path for way in ways for path in way.functions),
        is_rewritten=any(way.is_rewritten for way in ways),
        own_steps={node: count for way in ways for node, count in way.own_steps.items()},
        private=frozenset(key for way in ways for key in way.private).difference(*map(_given, graphs)),
    )


def _of_graph(graph: Any) -> Structure:
    inner = {tuple(path.split("|")): each for path, each in graph.get_subgraphs(recurse=True) if _is_here(each)}
    graphs = {(): graph, **inner}
    return Structure(
        nodes=frozenset(graph.nodes),
        shown=frozenset(node for node in graph.nodes if _may_end(graph, node)),
        inner_held=frozenset(
            (*path, node) for path, each in inner.items() for node in each.nodes if not _may_end(each, node)
        ),
        functions=frozenset(
            (*path, node) for path, each in graphs.items() if _is_function(each) for node in each.nodes
        ),
        is_rewritten=any(node.endswith((".after_model", ".after_agent")) for node in graph.nodes),
        own_steps={
            str(name): _own_steps(node) for each in reversed(graphs.values()) for name, node in each.nodes.items()
        },
        private=_keys(graph, "stream_channels_list") - _given(graph),
    )


def _is_here(graph: Any) -> bool:
    """False for a graph that runs on another server (`RemoteGraph`), which shows no nodes."""
    return hasattr(graph, "nodes")


def _is_function(graph: Any) -> bool:
    return getattr(graph, "builder", None) is None


def _own_steps(node: Any) -> int:
    return len(getattr(node.bound, "steps", None) or [node.bound])


def _given(graph: Any) -> frozenset[str]:
    return _keys(graph, "output_channels")


def _keys(graph: Any, channels: str) -> frozenset[str]:
    """The keys of a state in these channels; a state that is one value has none."""
    found = getattr(graph, channels)
    return frozenset() if isinstance(found, str) else frozenset(map(str, found))


def _may_end(graph: Any, node: str) -> bool:
    """True if a graph may end with what a node's model says, and nothing says it anew where the node fails.

    What runs before an agent's model may end the agent, but works for it: a gate, an analysis.
    """
    if node.endswith((".before_model", ".before_agent")):
        return False
    if graph.retry_policy or graph.nodes[node].retry_policy or getattr(graph.nodes[node], "error_handler_node", None):
        return False
    return _is_function(graph) or _leads_to_end(graph.builder, node)


def _leads_to_end(builder: Any, node: str) -> bool:
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
