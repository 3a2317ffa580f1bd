"""A question ready to be answered."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables import Runnable

from llmstream.core.answer.demanded_call import DemandedCall
from llmstream.core.direct import Fast
from llmstream.events import Event, Started
from llmstream.settings import Settings


@dataclass(frozen=True)
class Job:
    """A question ready to be answered."""

    chain: Runnable[Any, Any]
    chain_input: Any
    settings: Settings
    model: str
    fast: Fast | None
    sync_parts: Sequence[str]  # what a stop can't end
    config: Mapping[str, Any] = field(default_factory=dict)  # what LangChain is told of the run, such as its thread
    answer_nodes: Sequence[str] = ()
    has_memory: bool = False  # whether the chain remembers by itself, which makes all callers one
    demanded: DemandedCall | None = None
    said: Collection[str] | None = None  # of a run that is resumed: the ids of messages that the thread has told
    kept: Sequence[Event] = ()  # what a run said that was cut, where this one goes on from there

    def beginning(self) -> list[Event]:
        """The first events of the job's run."""
        return [Started(self.model, time.time()), *self.kept]
