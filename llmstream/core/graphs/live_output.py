"""The turns of a graph's models: which of them are shown while they speak, before the final state judges.

A text that has left can't be taken back from most clients.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmstream.core.chain_part import ChainPart
from llmstream.core.graphs.structure import Path, Structure


class Turns:
    """The models that a run has heard, in their order, and what follows for the next one."""

    def __init__(self, structure: Structure) -> None:
        self._structure = structure
        self._speaking: set[ChainPart] = set()  # the models that are shown and have said something
        self._spoke_in: set[str] = set()  # the executions of nodes in which one did, as long as no tool has run since
        self._heard: set[Path] = set()  # the nodes whose models have taken part, shown or not
        self._failed: list[ChainPart] = []
        self._undecided: set[str] = set()  # the nodes whose subgraphs have messages that are held: others follow those

    def may_be_next(self, part: ChainPart) -> bool:
        """True if what a model says may follow what was shown before, and no later node can replace it."""
        # What comes behind an answer that could have been the last word is a summary or a title as often as an answer.
        is_first = all(_names(execution(earlier)) == _names(execution(part)) for earlier in self._speaking)
        # A second model of one execution checks, grades or rewrites what the first one said, and its node may drop it.
        is_first &= part in self._speaking or execution(part) not in self._spoke_in
        is_first &= not _is_candidate(part)
        is_for_node = _is_in_task(part) or path_of(part)[0] in self._undecided
        return is_first and not is_for_node and self._structure.may_end(path_of(part))

    def has_been(self, part: ChainPart) -> bool:
        """True if a model has taken part in the same node before."""
        return path_of(part) in self._heard

    def heard(self, part: ChainPart) -> None:
        """Takes in that a model takes part in the conversation."""
        self._heard.add(path_of(part))

    def said(self, part: ChainPart) -> None:
        """Takes in that a model that is shown has said something."""
        self._speaking.add(part)
        self._spoke_in.add(execution(part))

    def failed(self, part: ChainPart) -> None:
        """Takes in that a model failed: another one may take its place."""
        self._spoke_in.discard(execution(part))
        self._failed.append(part)

    def replaced_by(self, part: ChainPart) -> list[ChainPart]:
        """The models that have failed in the same execution of a node, in whose place a model speaks."""
        return [earlier for earlier in self._failed if execution(earlier) == execution(part)]

    def tool_began(self) -> None:
        """Takes in that a tool runs: who reads its result goes on with the answer."""
        self._spoke_in.clear()

    def held_inside(self, namespace: Sequence[str]) -> None:
        """Takes in that a subgraph, by its namespace, has a message that is held."""
        self._undecided.update(_names(namespace[0]))

    def node_ended(self, node: str) -> None:
        """Takes in that a node of the outermost graph has ended, which decides on the messages of its subgraphs."""
        self._undecided.discard(node)


def execution(part: ChainPart) -> str:
    """The execution of a node, of whatever graph, in which a part runs."""
    return str(part.told("langgraph_checkpoint_ns") or "")


def path_of(part: ChainPart) -> Path:
    """The nodes in which a part runs, the outermost graph's first."""
    return tuple(level for level in _names(execution(part)) if not level.isdigit())


def _is_candidate(part: ChainPart) -> bool:
    """True if a node may choose between what a model says and what others say that are at work at the same time.

    A model that hands on what another one says, as a wrapper does, has begun before that, and speaks after it.
    """
    before, since = (
        [each for each in others if not each.ended and execution(each) == execution(part)]
        for others in (part.before, part.since)
    )
    return bool(before) or bool(since and not any(each.streaming for each in since))


def _names(namespace: str) -> list[str]:
    """The names in a namespace, the outermost graph's node first; behind one, the number of a subgraph's later run."""
    return [level.partition(":")[0] for level in namespace.split("|")]


def _is_in_task(part: ChainPart) -> bool:
    """True if a part runs in a task, which works for the node or function that calls it; its path ends with True."""
    above: ChainPart | None = part
    while above is not None and tuple(above.metadata.get("langgraph_path", ()))[-1:] != (True,):
        above = above.parent
    return above is not None
