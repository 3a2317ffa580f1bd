"""Makes the models inside a graph's nodes stream, though the nodes only invoke them.

Read from langchain-core 1.7 (`BaseChatModel._should_stream`, tracers/_streaming.py): a chat model that is invoked
streams where a handler is a `_StreamingCallbackHandler`. LangGraph's own `messages` mode stands on the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

from langchain_core.tracers._streaming import _StreamingCallbackHandler

from llmstream.core.running.callbacks import Watcher


class StreamingWatcher(Watcher, _StreamingCallbackHandler[Any]):
    """A watcher that makes models stream."""

    def tap_output_aiter(self, run_id: UUID, output: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Gives the items of a chain back unchanged."""
        return output

    def tap_output_iter(self, run_id: UUID, output: Iterator[Any]) -> Iterator[Any]:
        """Gives the items of a chain back unchanged."""
        return output
