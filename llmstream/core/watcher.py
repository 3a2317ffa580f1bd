"""What happens inside a chain, as LangChain's callbacks tell it: models, tools, retrievers; and a model gone silent."""

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
from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from llmstream.core.emitter import Emitter
from llmstream.core.leftovers import end_branch
from llmstream.errors import LlmstreamError, UpstreamStalled, UpstreamTimeout
from llmstream.events import Data, Event, Status, Usage, json_value
from llmstream.settings import Settings

_EXCERPT = 300


@dataclass
class RunningModel:
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
        self.models: dict[UUID, RunningModel] = {}  # the ones that answer now
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
        self.models[run_id] = RunningModel(
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


def reasoning_of(message: BaseMessage) -> str:
    """The thinking in a message, wherever its provider puts it."""
    text = message.additional_kwargs.get("reasoning_content")
    if isinstance(text, str):
        return text
    if isinstance(message.content, str):
        return ""
    blocks = [block for block in message.content if isinstance(block, dict)]
    return "".join(str(block.get("reasoning") or block.get("thinking") or "") for block in blocks)


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


class StallGuard:
    """Cancels the task that made it when a model that `watcher` sees is silent beyond the settings' limits."""

    def __init__(self, watcher: Watcher, settings: Settings) -> None:
        self._watcher = watcher
        self._settings = settings
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._expired: LlmstreamError | None = None
        self._look_every_s = min(settings.first_token_timeout_s, settings.token_timeout_s)
        self._timer = self._loop.call_later(self._look_every_s, self._look)

    def stop(self) -> None:
        """No more looking."""
        self._timer.cancel()

    def raise_if_expired(self) -> None:
        """In the task, after it was cancelled: raise what the silence means, if it was the silence."""
        if self._expired is not None and self._task is not None and self._task.uncancel() == 0:
            raise self._expired

    def _look(self) -> None:
        next_look_s = self._look_every_s
        for model in self._watcher.models.values():
            # While a call of a tool is generated Ollama sends nothing, so there only the longer limit holds.
            in_answer = model.streaming and not model.has_tools
            limit_s = self._settings.token_timeout_s if in_answer else self._settings.first_token_timeout_s
            left_s = model.heard_at + limit_s - time.monotonic()
            if model.is_ollama and left_s <= 0:
                kind = UpstreamStalled if model.streaming else UpstreamTimeout
                self._expired = kind(f"Ollama sent nothing for {limit_s:g} s. Ask again.")
                if self._task is not None:
                    self._task.cancel()
                return
            if model.is_ollama:
                next_look_s = min(next_look_s, left_s)
        self._timer = self._loop.call_later(next_look_s, self._look)
