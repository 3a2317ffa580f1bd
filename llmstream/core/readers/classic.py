"""Reads the old chains of `langchain_classic`: they do not stream, so their models' text is read from the callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import Runnable

from llmstream.core.answer.documents import are_documents
from llmstream.core.answer.emitter import Emitter
from llmstream.core.chain_part import ChainPart
from llmstream.core.chains.inspection import last_steps, unbound
from llmstream.core.message_content import text_of
from llmstream.core.readers.drafts import DraftReader, KeptMessage
from llmstream.core.readers.items import ANSWER_KEYS, INPUT_KEYS

# The chain that answers from documents, whatever chain it is a part of.
_STUFFED = "StuffDocumentsChain"
_STEPS = ("actions", "steps", "intermediate_steps", "messages")


class ClassicReader(DraftReader):
    """An `AgentExecutor` keeps what it says between its steps, unless that is parsed for what to do; the others keep
    what stands under their output keys.
    """

    def __init__(self, emitter: Emitter, chain: Runnable[Any, Any]) -> None:
        super().__init__(emitter)
        chain = unbound(chain)
        self._keys = [key for key in getattr(chain, "output_keys", ()) if key not in INPUT_KEYS]
        self._is_agent = type(chain).__name__ == "AgentExecutor"
        answers = ANSWER_KEYS if self._is_agent else [key for key in self._keys if key in ANSWER_KEYS]
        self._texts = answers or self._keys  # what stands beside them is data
        self._speaks = self._is_agent and _calls_tools(chain)
        self._kept: list[KeptMessage] = []

    def may_show(self, part: ChainPart) -> bool:
        """False for text that rewrites the question, is put together later, or has its sources cut off; True for an
        agent, the chain itself, or one over all documents.
        """
        if "sources" in self._keys:
            return False
        above, names = part.parent, []
        while above is not None:
            names.append(above.name)
            above = above.parent
        return self._speaks or (not self._is_agent and (len(names) <= 1 or _STUFFED in names))

    def put(self, item: Any) -> None:
        """Takes in an item of a step, or of the whole chain."""
        if not isinstance(item, Mapping):
            return self._keep(str(item))
        for message in item.get("messages", ()):
            if isinstance(message, ToolMessage):
                self.tool_message(message)
            elif isinstance(message, AIMessage) and self._speaks:
                self._keep(text_of(message), message.id)
        for key, value in item.items():
            if are_documents(value):
                self.sources.add(self.sources.fresh_in(value))
            elif isinstance(value, str) and key in self._texts:
                self._keep(value)
            elif key not in (*INPUT_KEYS, *_STEPS) and key in self._keys and value is not None:
                self.data(key, value)
        self.settle(self._kept)

    def end(self) -> None:
        """Withdraws the text that the chain did not keep."""
        self.settle(self._kept, final=True)
        self.kept_whole(())
        self.messages.finish()

    def _keep(self, text: str, id: str | None = None) -> None:
        if text and all(text != each.text for each in self._kept):
            self._kept.append(KeptMessage(id or f"{len(self._kept)}", text))


def _calls_tools(executor: Any) -> bool:
    """True if an agent's model calls tools, and does not write what to do into its text."""
    steps = last_steps(executor.agent.runnable) if hasattr(executor.agent, "runnable") else []
    return any(type(step).__name__.startswith(("Tools", "OpenAI")) for step in steps)
