"""The structure of a LangGraph graph: which of its nodes may say the last word.

Read from LangGraph 1.2: a graph's `builder` (None for a function of the functional API) has `nodes`, `edges` (pairs),
`waiting_edges` (from several nodes to one), and `branches`, whose `ends` are a map to nodes, or None.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    and its own name; LangGraph runs them as a part of the node that they start from. private: the keys of the state
    that are no part of what the graph gives back.
    """

    shown: frozenset[str]
    is_rewritten: bool
    is_function: bool
    routers: frozenset[tuple[str, str]]
    private: frozenset[str]

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
    builder = getattr(chain, "builder", None)
    nodes = [str(node) for node in (builder.nodes if builder is not None else chain.get_graph().nodes)]
    return Structure(
        shown=frozenset(node for node in nodes if builder is None or _can_end(builder, node)),
        is_rewritten=any(node.endswith((".after_model", ".after_agent")) for node in nodes),
        is_function=builder is None,
        routers=frozenset((str(node), str(name)) for node, names in _branches(builder).items() for name in names),
        private=_keys(chain, "stream_channels_list") - _keys(chain, "output_channels"),
    )


def _keys(chain: Any, channels: str) -> frozenset[str]:
    """The keys of a state in these channels; a state that is one value has none."""
    found = getattr(chain, channels)
    return frozenset() if isinstance(found, str) else frozenset(map(str, found))


def _branches(builder: Any) -> Mapping[Any, Any]:
    return getattr(builder, "branches", {})


def _can_end(builder: Any, node: str) -> bool:
    """Whether a graph may end behind a node: where an edge, a branch, or nothing at all says that it may.

    A node that goes on by a `Command` ends the graph where it gives none, and a branch without a map may lead anywhere.
    """
    joined = {source for sources, _ in builder.waiting_edges for source in sources}
    targets = {target for source, target in builder.edges if source == node}
    if targets or node in joined:
        return _END in targets
    ways = [branch.ends for branch in builder.branches.get(node, {}).values()]
    return not ways or any(ends is None or _END in ends.values() for ends in ways)


structure = ByChain(_structure)
