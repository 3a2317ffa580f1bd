"""The events inside a chain, as LangChain's callbacks tell them: a tree of models, tools, retrievers and chains."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from llmstream.chain.handlers import GroupListener
from llmstream.core.answer.emitter import Emitter
from llmstream.core.answer.finish_reasons import word_in
from llmstream.core.chain_part import ChainPart
from llmstream.core.message_content import reasoning_of, text_of
from llmstream.core.readers.reader import Reader
from llmstream.core.running.task_cleanup import end_branch
from llmstream.events import Status, Usage
from llmstream.ollama.chunks import Chunk, joined


class Watcher(GroupListener):
    """Tells a reader what happens inside a chain, in the reader's own thread.

    Sync and inline, so that it works under async and sync managers alike; a chain may call it from threads.
    models: the ones that answer now. usage: of all models, inner ones too. tokens_per_s: of the last one that says so.
    """

    run_inline = True

    def __init__(self, emitter: Emitter, reader: Reader) -> None:
        self.usage = Usage()
        self.load_s: float | None = None
        self.tokens_per_s: float | None = None
        self.model_failed = False
        self.models: dict[UUID, ChainPart] = {}
        self._parts: dict[UUID, ChainPart] = {}
        self._over = False
        self._emitter = emitter
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def end(self) -> None:
        """Ends the watching of a run that was left or has failed: a branch still running ends at its next call."""
        self._over = True

    def used(self, more: Usage) -> Usage:
        """The usage so far and what one more model used."""
        before = self.usage
        return Usage(_sum(before.input_tokens, more.input_tokens), _sum(before.output_tokens, more.output_tokens))

    def status(self, status: Status) -> None:
        """Emits what a model had to do to its prompt."""
        self._call(self._emitter.status, status)

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Notes that a chain began."""
        self._begin("chain", serialized, run_id, kwargs)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Notes that a chain ended."""
        self._parts.pop(run_id, None)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Notes that a chain failed."""
        self._parts.pop(run_id, None)

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Notes that a chat model was asked."""
        self._model_began(serialized, run_id, kwargs)

    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Notes that a text model was asked."""
        self._model_began(serialized, run_id, kwargs)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, chunk: Any = None, **kwargs: Any) -> None:
        """Hands on a piece from a model."""
        self._check()
        part = self.models.get(run_id)
        if part is None:
            return None
        part.streaming, part.heard_at = True, time.monotonic()
        message = getattr(chunk, "message", None)
        if message is None:
            return self._call(self._reader.model_said, part, token if isinstance(token, str) else "", "")
        self._call(self._reader.model_said, part, text_of(message), reasoning_of(message))
        if calls := getattr(message, "tool_call_chunks", None):  # told of when they are whole; endless ones never are
            self._call(self._emitter.count, len(str(calls)))

    def heard(self, run_id: UUID, chunks: Sequence[Chunk], *, thinking: bool) -> None:
        """A model that is invoked hands on what it says by itself."""
        self._check()
        part = self.models.get(run_id)
        if part is None:
            return
        part.streaming, part.heard_at = True, time.monotonic()
        for chunk in joined(chunks):
            if (message := chunk.message) is None:
                continue
            self._call(self._reader.model_said, part, message.content or "", (thinking and message.thinking) or "")
            if message.tool_calls:
                self._call(self._emitter.count, len(str(message.tool_calls)))
        if threading.get_ident() == self._thread:
            self._emitter.check()

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Hands on a model's whole answer."""
        part = self._model_over(run_id)
        generation = response.generations[0][0] if response.generations and response.generations[0] else None
        if part is None:
            return
        message = generation.message if isinstance(generation, ChatGeneration) else None
        known = getattr(generation, "generation_info", None) or {}
        info: dict[str, Any] = {**known, **getattr(message, "response_metadata", {})}
        part.reason = word_in(info)
        part.truncated = part.is_ollama and not part.reason and generation is not None
        self._call(self._model_ended, part, message, info)

    def _model_ended(self, part: ChainPart, message: BaseMessage | None, info: Mapping[str, Any]) -> None:
        """Adds up what models used: in the reader's thread, since they may end in several at once."""
        self.load_s = round(info["load_duration"] / 1e9, 6) if info.get("load_duration") else self.load_s
        if info.get("eval_count") and info.get("eval_duration") and not part.is_inner:
            self.tokens_per_s = info["eval_count"] / info["eval_duration"] * 1e9
        usage = getattr(message, "usage_metadata", None) or {}
        self.usage = self.used(
            Usage(
                usage.get("input_tokens", info.get("prompt_eval_count")),
                usage.get("output_tokens", info.get("eval_count")),
            )
        )
        self._reader.model_ended(part, message)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Notes that a model failed."""
        part = self._model_over(run_id)
        if part is not None:
            self.model_failed |= part.is_ollama
            self._call(self._reader.model_ended, part, None)

    def on_tool_start(self, serialized: Any, input_str: str, *, run_id: UUID, **kwargs: Any) -> None:
        """Hands on that a tool runs; `tool_call_id` is the id of the call that it was made for, if given."""
        part = self._begin("tool", serialized, run_id, kwargs)
        arguments = kwargs.get("inputs")
        call_id = kwargs.get("tool_call_id")
        self._call(self._reader.tool_began, part, call_id, input_str if arguments is None else arguments)

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Hands on the result of a tool."""
        if (part := self._parts.pop(run_id, None)) is not None:
            self._call(self._reader.tool_ended, part, output)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Hands on that a tool failed."""
        if (part := self._parts.pop(run_id, None)) is not None:
            self._call(self._reader.tool_failed, part, error)

    def on_retriever_start(self, serialized: Any, query: str, *, run_id: UUID, **kwargs: Any) -> None:
        """Notes that a retriever was asked."""
        self._begin("retriever", serialized, run_id, kwargs)

    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **kwargs: Any) -> None:
        """Hands on the documents that a retriever found."""
        if (part := self._parts.pop(run_id, None)) is not None:
            self._call(self._reader.documents, part, documents)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Notes that a retriever failed."""
        self._parts.pop(run_id, None)

    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Hands on an event of the chain's own."""
        self._call(self._reader.custom, name, data)

    def _check(self) -> None:
        if self._over:
            end_branch()

    def _begin(
        self,
        kind: Literal["model", "tool", "retriever", "chain"],
        serialized: Any,
        run_id: UUID,
        said: Mapping[str, Any],
    ) -> ChainPart:
        self._check()
        self._parts[run_id] = part = ChainPart(
            id=run_id,
            kind=kind,
            parent=self._parts.get(said["parent_run_id"]) if said.get("parent_run_id") else None,
            name=str(said.get("name") or (serialized or {}).get("name") or ""),
            tags=said.get("tags") or (),
            metadata=said.get("metadata") or {},
        )
        return part

    def _model_began(self, serialized: Any, run_id: UUID, said: Mapping[str, Any]) -> None:
        part = self._begin("model", serialized, run_id, said)
        path = [*((serialized or {}).get("id") or []), part.metadata.get("ls_provider", "")]
        part.is_ollama = any("ollama" in str(each).lower() for each in path)
        part.has_tools = bool((said.get("invocation_params") or {}).get("tools"))
        part.before = list(self.models.values())
        for earlier in part.before:
            earlier.since.append(part)
        self.models[run_id] = part

    def _model_over(self, run_id: UUID) -> ChainPart | None:
        self._parts.pop(run_id, None)
        if (part := self.models.pop(run_id, None)) is not None:
            part.ended = True
        return part

    def _call(self, method: Any, *args: Any) -> None:
        if threading.get_ident() == self._thread:
            method(*args)
        else:
            self._loop.call_soon_threadsafe(method, *args)


def _sum(left: int | None, right: int | None) -> int | None:
    return left if right is None else (left or 0) + right
