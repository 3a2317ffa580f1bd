"""The reader of a chain: callbacks tell it what happens inside the chain, and it takes the items that come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, ToolMessage

from llmstream.core.answer.calls import Calls
from llmstream.core.answer.documents import Sources
from llmstream.core.answer.emitter import Emitter
from llmstream.core.answer.finish_reasons import is_cut
from llmstream.core.answer.message_order import Messages
from llmstream.core.chain_part import ChainPart
from llmstream.events import Data, json_value


class Reader:
    """The base of all readers: tools, sources, and data."""

    def __init__(self, emitter: Emitter, *, named: bool) -> None:
        self.emitter = emitter
        self.messages = Messages(emitter, named=named)
        self.calls = Calls(emitter)
        self.sources = Sources(emitter)
        self.given: Any = None  # the chain's input
        self.shown: list[ChainPart] = []  # the models whose text is a part of the answer
        self.ends: list[str] = []  # the words by which messages of the answer say themselves how they ended

    def put(self, item: Any) -> None:
        """Takes in an item that the chain yields."""

    def end(self) -> None:
        """Takes in that the chain has come to its end."""

    def model_said(self, part: ChainPart, text: str, reasoning: str) -> None:
        """Takes in a piece of a model's answer, or of its thinking."""

    def model_ended(self, part: ChainPart, message: BaseMessage | None) -> None:
        """Takes in a model's whole answer, or None where the model failed."""
        if part.is_under("tool"):
            self.calls.hide(call["id"] for call in getattr(message, "tool_calls", ()))

    def tool_began(self, part: ChainPart, call_id: str | None, arguments: object) -> None:
        """Takes in that a tool runs, for a call of a model's or for the chain itself."""
        if part.is_under("tool"):
            self.calls.hide([call_id])
        else:
            part.call_id = self.calls.begin(call_id, part.name, arguments)

    def tool_ended(self, part: ChainPart, output: object) -> None:
        """Takes in the result of a tool, in whatever form."""
        for message in _tool_messages(output):
            self.tool_message(message)
        if part.call_id is not None and not isinstance(output, ToolMessage):
            self.calls.answer(part.call_id, _without_messages(output))

    def tool_failed(self, part: ChainPart, error: BaseException) -> None:
        """Takes in the error of a tool; whoever ran the tool may still answer the call in words of its own."""

    def tool_message(self, message: ToolMessage) -> None:
        """Tells the result of a call, given as a message."""
        self.calls.answer(message.tool_call_id, message.content)
        self.sources.add(message.artifact)

    def documents(self, part: ChainPart, documents: Sequence[Document]) -> None:
        """Tells the documents that a retriever found, but for those that it looked through itself."""
        if not part.is_under("retriever"):
            self.sources.add(documents)

    def custom(self, name: str, value: Any) -> None:
        """Tells an event of the chain's own."""
        self.data(name, value)

    def data(self, name: str, value: Any) -> None:
        """Tells a value that is no text; what a chain names as its sources like documents that were found."""
        if name == "sources" and isinstance(value, str | list | tuple):
            return self.sources.add_named(value.split(", ") if isinstance(value, str) else value)
        self.emitter.emit([Data(name, json_value(value))])

    @property
    def reason(self) -> str:
        """The reason of the answer's end: a part of it that was cut counts before all."""
        reasons = [part.reason for part in self.shown if part.reason]
        cut = [reason for reason in (*reasons, *self.ends) if is_cut(reason)]
        return (cut or reasons[-1:] or ["stop"])[0]


def _tool_messages(output: object) -> list[ToolMessage]:
    """The results in what a tool gave back: a message, a list of them, or a LangGraph `Command` with an update."""
    if isinstance(output, ToolMessage):
        return [output]
    if isinstance(output, list | tuple):
        return [message for each in output for message in _tool_messages(each)]
    update = getattr(output, "update", None)
    found = update.get("messages") if isinstance(update, Mapping) else None
    return [each for each in found if isinstance(each, ToolMessage)] if isinstance(found, list) else []


def _without_messages(output: object) -> object:
    """The output of a tool as it is told: of a `Command`, only that it was carried out."""
    return "done" if hasattr(output, "update") and hasattr(output, "goto") else output
