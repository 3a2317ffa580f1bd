"""A part of a chain that runs, as callbacks tell of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from llmstream.core.answer.finish_reasons import is_cut

# In the metadata of a graph that a chain ends in.
ANSWERS = "llmstream_answers"


@dataclass(eq=False)
class ChainPart:
    """A part of a chain that runs: a model, a tool, a retriever, or a chain.

    is_ollama, has_tools, streaming, heard_at: of a model; heard_at by the monotonic clock, in seconds. text: what a
    model has said. reason: how its answer ended. before, since: the models at work as this one began, and those that
    have begun while it is. call_id: of the call that a tool carries out.
    """

    id: UUID
    kind: Literal["model", "tool", "retriever", "chain"]
    parent: ChainPart | None
    name: str
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    is_ollama: bool = False
    has_tools: bool = False
    streaming: bool = False
    heard_at: float = field(default_factory=time.monotonic)
    reason: str = ""
    truncated: bool = False
    ended: bool = False
    before: list[ChainPart] = field(default_factory=list)
    since: list[ChainPart] = field(default_factory=list)
    call_id: str | None = None

    def is_under(self, *kinds: str) -> bool:
        """True if the part runs inside one of these kinds."""
        above = self.parent
        while above is not None and above.kind not in kinds:
            above = above.parent
        return above is not None

    def told(self, name: str) -> Any:
        """The value that the metadata hold for a part, or else for the part around it; None where there is none."""
        part: ChainPart | None = self
        while part is not None and name not in part.metadata:
            part = part.parent
        return part.metadata[name] if part is not None else None

    @property
    def is_cut(self) -> bool:
        """True if a model's answer has no end, or was cut at a limit or by a filter."""
        return self.truncated or is_cut(self.reason)

    @property
    def is_inner(self) -> bool:
        """True if a model works for another part, so that what it says is no part of the answer."""
        return is_set_apart(self.tags, self.metadata) or self.is_under("tool", "retriever")


def step_of(part: ChainPart) -> int:
    """The number of a part's step in the sequence around it, from 1; 0 where it is no step."""
    steps = [tag for tag in part.tags if tag.startswith("seq:step:")]
    return int(steps[-1].rpartition(":")[2]) if steps else 0


def is_set_apart(tags: Sequence[str], metadata: Mapping[str, Any]) -> bool:
    """True if tags or metadata say that what a model says is no part of the answer."""
    return (
        "nostream" in tags
        or "langsmith:nostream" in tags
        or "ls_structured_output_format" in metadata
        or metadata.get("lc_source") == "summarization"
    )


def outermost_step(part: ChainPart) -> int:
    """The step of the outermost sequence in which a part runs; 0 where there is none."""
    step, above = 0, part
    while above is not None:
        step = step_of(above) or step
        above = above.parent  # type: ignore[assignment]
    return step


def parallel_keys(part: ChainPart) -> list[str]:
    """The keys of parallels in which a part runs, the outermost first."""
    keys: list[str] = []
    above: ChainPart | None = part
    while above is not None:
        keys += [tag.removeprefix("map:key:") for tag in above.tags if tag.startswith("map:key:")]
        above = above.parent
    return keys[::-1]
