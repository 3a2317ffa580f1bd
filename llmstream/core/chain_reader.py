"""The reader of a chain: callbacks tell it what happens inside the chain, and it takes the items that come out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard
from uuid import UUID

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage, convert_to_messages

from llmstream.core.answer_messages import Messages
from llmstream.core.calls import Calls
from llmstream.core.emitter import Emitter
from llmstream.core.source_documents import Sources
from llmstream.events import Data, json_value

# The blocks of a message by which a model answers in something else than text.
_NO_TEXT = {
    "image": "image", "image_url": "image", "image_generation_call": "image", "audio": "audio", "video": "video",
    "file": "file",
}  # fmt: skip

# In the metadata of a graph that a chain ends in.
ANSWERS = "llmstream_answers"

# Why an answer ended at a limit, as models say it.
_CUT = ("length", "max_tokens")


@dataclass(eq=False)
class ChainPart:
    """A part of a chain that runs: a model, a tool, a retriever, or a chain.

    is_ollama, has_tools, streaming, heard_at: of a model; heard_at by the monotonic clock, in seconds. text: what a
    model has said. reason: how its answer ended. call_id: of the call that a tool carries out.
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
        """True if a model's answer has no end, or ended at a limit."""
        return self.truncated or self.reason in _CUT

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


class Reader:
    """The base of all readers: tools, sources, and data."""

    def __init__(self, emitter: Emitter, *, named: bool) -> None:
        self.emitter = emitter
        self.messages = Messages(emitter, named=named)
        self.calls = Calls(emitter)
        self.sources = Sources(emitter)
        self.shown: list[ChainPart] = []  # the models whose text is a part of the answer

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
        """Tells a value that is no text."""
        self.emitter.emit([Data(name, json_value(value))])

    @property
    def reason(self) -> str:
        """The reason of the answer's end: a part of it that was cut counts before all."""
        reasons = [part.reason for part in self.shown if part.reason]
        cut = [reason for reason in reasons if reason in _CUT]
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


def reasoning_of(message: BaseMessage) -> str:
    """The thinking in a message, wherever its provider puts that."""
    text = message.additional_kwargs.get("reasoning_content")
    if isinstance(text, str):
        return text
    if isinstance(message.content, str):
        return ""
    blocks = [block for block in message.content if isinstance(block, dict)]
    return "".join(str(block.get("reasoning") or block.get("thinking") or "") for block in blocks)


def messages_in_list(value: Any) -> TypeGuard[list[BaseMessage]]:
    """True if a value is a list of messages, at least one."""
    return isinstance(value, list) and bool(value) and all(isinstance(each, BaseMessage) for each in value)


def as_messages(value: Any) -> list[BaseMessage]:
    """The messages in a value, in any form that LangGraph takes for one; none where it is something else."""
    if isinstance(value, BaseMessage):
        return [value]
    if not isinstance(value, list | tuple) or not value:
        return []
    if all(isinstance(each, BaseMessage) for each in value):
        return list(value)
    forms = [each for each in value if isinstance(each, BaseMessage) or (isinstance(each, Mapping) and "role" in each)]
    if len(forms) != len(value):
        return [each for each in value if isinstance(each, BaseMessage)]
    try:
        return convert_to_messages(list(value))
    except (ValueError, TypeError, KeyError, NotImplementedError):
        return []


def text_of(message: BaseMessage) -> str:
    """The text in a message; what an answer holds that is no text, such as an image, is named in its place."""
    if isinstance(message.content, str):
        return message.content
    if isinstance(message, HumanMessage):
        return str(message.text)
    return "".join(map(_block_text, message.content))


def _block_text(block: str | dict[Any, Any]) -> str:
    if isinstance(block, str):
        return block
    kind, text = block.get("type"), block.get("text")
    return f"[{_NO_TEXT[kind]}]" if kind in _NO_TEXT else text if kind == "text" and isinstance(text, str) else ""
