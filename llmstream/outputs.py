"""From what a LangChain chain yields, and what its callbacks tell, to events."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from llmstream.emitter import Emitter
from llmstream.events import Data, Event, Status, Usage, json_value
from llmstream.leftovers import end_branch

# Under which key of a dict a chain puts its answer, and which keys only repeat its input.
_ANSWER_KEYS = ("answer", "output", "result", "text", "content", "response")
_INPUT_KEYS = ("input", "question", "query", "messages", "history", "chat_history")
_EXCERPT = 300
_WHOLE_EVERY_S = 0.2


@dataclass
class Model:
    """A model that answers now; heard_at: when it gave the last sign, by the monotonic clock, in seconds."""

    is_ollama: bool
    is_chat: bool
    has_tools: bool
    heard_at: float
    streaming: bool = False


class Watcher(BaseCallbackHandler):
    """What happens inside a chain: models, tools, retrievers.

    Sync and inline, so that it works under async and sync managers alike; a chain may call it from threads.
    """

    run_inline = True

    def __init__(self, emitter: Emitter, *, graph: bool = False) -> None:
        self.saw_model = False
        self.saw_sources = False
        self.reason = "stop"
        self.usage = Usage()
        self.load_s: float | None = None
        self.truncated = False
        self.model_failed = False
        self.models: dict[UUID, Model] = {}  # the ones that answer now
        self._over = False
        self._emitter = emitter
        self._graph = graph
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A chat model was asked."""
        self._model_started(serialized, run_id, kwargs, is_chat=True)

    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A text model was asked."""
        self._model_started(serialized, run_id, kwargs, is_chat=False)

    def end(self) -> None:
        """The run was left or has failed: a branch that LangChain has left behind ends at its next call."""
        self._over = True

    def _check(self) -> None:
        if self._over:
            end_branch()

    def _model_started(self, serialized: Any, run_id: UUID, kwargs: Mapping[str, Any], *, is_chat: bool) -> None:
        self._check()
        provider = (kwargs.get("metadata") or {}).get("ls_provider", "")
        path = [*((serialized or {}).get("id") or []), provider]
        self.models[run_id] = Model(
            is_ollama=any("ollama" in str(part).lower() for part in path),
            is_chat=is_chat,
            has_tools=bool((kwargs.get("invocation_params") or {}).get("tools")),
            heard_at=time.monotonic(),
        )
        self.saw_model = True

    def on_llm_new_token(self, token: Any, *, run_id: UUID, chunk: Any = None, **kwargs: Any) -> None:
        """A piece came from a model; its text comes out of the chain, its reasoning is seen here only."""
        self._check()
        model = self.models.get(run_id)
        if model is not None:
            model.streaming, model.heard_at = True, time.monotonic()
            if self._graph and not model.is_chat:  # a graph hands out what its chat models say, and no others
                self._call(self._emitter.text, token)
        message = getattr(chunk, "message", None)
        if message is None:
            return
        if text := reasoning_of(message):
            self._call(self._emitter.reasoning, text)
        if calls := getattr(message, "tool_call_chunks", None):  # told of when they are whole; endless ones never are
            self._call(self._emitter.count, len(str(calls)))

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """A model has answered."""
        is_ollama = self._ended(run_id)
        if not response.generations or not response.generations[0]:
            return
        generation = response.generations[0][0]
        message = generation.message if isinstance(generation, ChatGeneration) else None
        info: dict[str, Any] = {**(generation.generation_info or {}), **getattr(message, "response_metadata", {})}
        reason = info.get("done_reason") or info.get("finish_reason") or info.get("stop_reason")
        self.truncated |= is_ollama and not reason
        self.reason = str(reason or "stop")
        self.load_s = round(info["load_duration"] / 1e9, 6) if info.get("load_duration") else self.load_s
        usage = getattr(message, "usage_metadata", None) or {}
        self._add(
            usage.get("input_tokens", info.get("prompt_eval_count")), usage.get("output_tokens", info.get("eval_count"))
        )
        for call in getattr(message, "tool_calls", ()):
            self._call(self._emitter.tool_call, str(call.get("id") or ""), call["name"], call["args"])

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """A model failed."""
        self.model_failed |= self._ended(run_id)

    def _ended(self, run_id: UUID) -> bool:
        """A model is at its end; whether it was Ollama's."""
        model = self.models.pop(run_id, None)
        return model is not None and model.is_ollama

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A tool gave back its result."""
        if isinstance(output, ToolMessage):
            call_id, value = output.tool_call_id, output.content
        else:
            call_id, value = str(kwargs.get("tool_call_id") or run_id), output
        self._call(self._emitter.tool_result, call_id, value)

    def on_retriever_end(self, documents: Sequence[Document], **kwargs: Any) -> None:
        """A retriever found documents."""
        self.saw_sources = True
        self._call(self._emitter.emit, [sources(documents)])

    def status(self, status: Status) -> None:
        """A model tells what it had to do to its prompt."""
        self._call(self._emitter.status, status)

    def _add(self, input_tokens: int | None, output_tokens: int | None) -> None:
        before = self.usage
        self.usage = Usage(_sum(before.input_tokens, input_tokens), _sum(before.output_tokens, output_tokens))

    def _call(self, method: Any, *args: Any) -> None:
        if threading.get_ident() == self._thread:
            method(*args)
        else:
            self._loop.call_soon_threadsafe(method, *args)


def _sum(left: int | None, right: int | None) -> int | None:
    return left if right is None else (left or 0) + right


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
        elif _are_documents(item):
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
        if _are_documents(value):
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


def reasoning_of(message: BaseMessage) -> str:
    """The thinking in a message, wherever its provider puts it."""
    text = message.additional_kwargs.get("reasoning_content")
    if isinstance(text, str):
        return text
    if isinstance(message.content, str):
        return ""
    blocks = [block for block in message.content if isinstance(block, dict)]
    return "".join(str(block.get("reasoning") or block.get("thinking") or "") for block in blocks)


def _are_documents(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Document) for item in value)


def sources(documents: Sequence[Document]) -> Event:
    """The documents an answer was made from: title, url (http only) and excerpt of each; no paths."""
    return Data("sources", [_source(document) for document in documents])


def _source(document: Document) -> dict[str, Any]:
    known = document.metadata
    origin = str(known.get("url") or known.get("source") or "")
    is_url = urlsplit(origin).scheme in ("http", "https")
    name = origin.rstrip("/").replace("\\", "/").rpartition("/")[2]
    text = " ".join(document.page_content.split())
    source = {
        "title": str(known.get("title") or name or "Untitled"),
        "url": origin if is_url else None,
        "excerpt": text[:_EXCERPT] + ("…" if len(text) > _EXCERPT else ""),
    }
    return {key: json_value(value) for key, value in source.items()}
