"""A question ready to be answered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import Runnable

from llmstream.core.demanded import DemandedCall
from llmstream.core.direct import Fast
from llmstream.events import Started
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
    demanded: DemandedCall | None = None

    def started(self) -> Started:
        """The first event."""
        return Started(self.model, time.time())
