"""From what a LangChain chain yields to events."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from llmstream.core.emitter import Emitter
from llmstream.core.watcher import Watcher, reasoning_of, sources
from llmstream.events import Data, json_value

# Under which key of a dict a chain puts its answer, and which keys only repeat its input.
_ANSWER_KEYS = ("answer", "output", "result", "text", "content", "response")
_INPUT_KEYS = ("input", "question", "query", "messages", "history", "chat_history")
_WHOLE_EVERY_S = 0.2


class Outputs:
    """What comes out of a chain's `astream`, one item at a time."""

    def __init__(self, emitter: Emitter, watcher: Watcher, *, cumulative: bool) -> None:
        self._emitter = emitter
        self._watcher = watcher
        self._cumulative = cumulative  # each item replaces the one before, as JSON parsers yield them
        self._latest: Any = None  # such an item, not emitted yet
        self._emitted_at = 0.0
        self._graphs_answer = ""

    def put(self, item: Any) -> None:
        """Emit what an item says."""
        if self._cumulative:
            self._whole(item)
        elif isinstance(item, str):
            self._emitter.text(item)
        elif isinstance(item, BaseMessage):
            self._message(item)
        elif isinstance(item, Mapping):
            for key, value in item.items():
                self._field(str(key), value)
        elif are_documents(item):
            self._sources(item)
        elif isinstance(item, Document):
            self._sources([item])
        elif item is not None:
            self._data("item", item)

    def put_graph(self, item: tuple[Any, str, Any]) -> None:
        """Emit what a LangGraph graph and its subgraphs stream in the modes `messages`, `custom` and `updates`."""
        _, mode, payload = item
        if mode == "custom":
            self._data("custom", payload)
        elif mode == "messages" and isinstance(payload[0], AIMessage):
            self._message(payload[0])
        elif mode == "updates":
            found = [_answer_in(update) for update in payload.values()]
            self._graphs_answer = next((text for text in found if text), self._graphs_answer)

    def end(self) -> None:
        """The chain has come to its end: emit what was held back for it."""
        if self._latest is not None:
            self._data("output", self._latest)
        if self._graphs_answer and not self._emitter.has_text:  # no model said it
            self._emitter.text(self._graphs_answer)

    def _whole(self, item: Any) -> None:
        """An item that holds all that came before: now and then, since each is sent whole, and the last one."""
        now = time.monotonic()
        if now - self._emitted_at < _WHOLE_EVERY_S:
            self._latest = item
            return
        self._latest, self._emitted_at = None, now
        self._data("output", item)

    def _message(self, message: BaseMessage) -> None:
        if isinstance(message, ToolMessage):
            self._emitter.tool_result(message.tool_call_id, message.content)
            return
        if not self._watcher.saw_model:  # else its callbacks told
            if text := reasoning_of(message):
                self._emitter.reasoning(text)
            for call in getattr(message, "tool_calls", ()):
                self._emitter.tool_call(str(call.get("id") or ""), call["name"], call["args"])
        content = message.content
        self._emitter.text(content if isinstance(content, str) else str(message.text))

    def _field(self, key: str, value: Any) -> None:
        if are_documents(value):
            self._sources(value)
        elif key in _ANSWER_KEYS and isinstance(value, str | BaseMessage):
            self.put(value)
        elif key not in _INPUT_KEYS and value is not None:
            self._data(key, value)

    def _sources(self, documents: Sequence[Document]) -> None:
        if not self._watcher.saw_sources:
            self._emitter.emit([sources(documents)])

    def _data(self, name: str, value: Any) -> None:
        self._emitter.emit([Data(name, json_value(value))])


def _answer_in(update: Any) -> str:
    """The answer in what a node of a graph gives back, which may also be no mapping at all."""
    fields = update if isinstance(update, Mapping) else {}
    return next((value for key in _ANSWER_KEYS if isinstance(value := fields.get(key), str)), "")


def are_documents(value: Any) -> bool:
    """Whether a value is a list of documents, at least one."""
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Document) for item in value)
