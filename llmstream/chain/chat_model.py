"""A `ChatOllama` that answers through the strict reader."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from langchain_core.language_models.chat_models import _gen_info_and_msg_metadata, generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from llmstream import concurrency
from llmstream.addresses import parse_ollama_host, plain_ollama_host
from llmstream.chain.batching import InGroups
from llmstream.chain.handlers import GroupListener, group_listeners, notify_status
from llmstream.chain.request import are_messages, normalized, request_body
from llmstream.chain.shared_state import twin
from llmstream.ollama.chunks import Chunk, joined
from llmstream.ollama.client_kwargs import ollama_with
from llmstream.ollama.models import Ollama
from llmstream.ollama.upstream import Upstream
from llmstream.settings import Settings, overrides

with plain_ollama_host():
    from langchain_ollama import ChatOllama as _ChatOllama


class StrictChatOllama(InGroups, _ChatOllama):
    """`langchain_ollama.ChatOllama` in every respect, but answering through `llmstream.ollama`'s reader.

    A truncated, stalled or malformed answer raises an `llmstream.errors.UpstreamError` instead of ending like a
    complete one, there is no limit of 100 connections, and what the request needs (images, tools, thinking) is checked
    against the model first. Of `client_kwargs` it honours headers, timeout, verify, proxy, cookies and auth.

    Where nobody but llmstream listens, tokens that are ready together come together, and a model that is invoked hands
    them to llmstream by itself: LangChain gets the whole message.
    """

    _ollama: Upstream | None = PrivateAttr(default=None)
    _found: tuple[Any, Ollama] | None = PrivateAttr(default=None)
    _in_groups: bool = PrivateAttr(default=False)

    def upstream(self) -> Upstream:
        """The server this model streams from."""
        return self._ollama or self._of_fields()

    def _of_fields(self) -> Ollama:
        """The server that its fields, and what they leave to the environment, named when it was first asked with them.

        Reading all settings anew for each answer would take as long as asking Ollama.
        """
        kwargs = {**(self.client_kwargs or {}), **(self.async_client_kwargs or {})}
        named = self.base_url, kwargs, list(overrides)
        if self._found is None or self._found[0] != named:
            self._found = named, _ollama_at(self.base_url, kwargs)
        return self._found[1]

    def body_of(self, value: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The body of the request to Ollama for what the model is given, and what is bound to it."""
        messages = normalized(value if are_messages(value) else self._convert_input(value).to_messages())
        return request_body(self, messages, **kwargs)

    def tells_thinking(self, kwargs: Mapping[str, Any]) -> bool:
        """True if thinking was asked for: LangChain drops what was not."""
        return bool(kwargs.get("reasoning", self.reasoning))

    def _acreate_chat_stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, **kwargs: Any
    ) -> AsyncIterator[Mapping[str, Any] | str]:
        return self._alines(request_body(self, messages, stop, **kwargs))

    def _create_chat_stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, **kwargs: Any
    ) -> Iterator[Mapping[str, Any] | str]:
        return self._lines(request_body(self, messages, stop, **kwargs))

    def _line_of(self, chunk: Chunk) -> dict[str, Any]:
        return _as_mapping(chunk)

    def _should_stream(self, *, async_api: bool, run_manager: Any = None, **kwargs: Any) -> bool:
        return not self._hearing(run_manager, kwargs) and super()._should_stream(
            async_api=async_api, run_manager=run_manager, **kwargs
        )

    def _hearing(self, run_manager: Any, kwargs: Mapping[str, Any]) -> list[GroupListener]:
        """Those to whom a model that is invoked hands its chunks; none where LangChain's way is another one."""
        if self.output_version == "v1" or self._streaming_disabled(**kwargs):
            return []
        return group_listeners(run_manager)

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        hearing = self._hearing(run_manager, kwargs)
        if not hearing:
            return await super()._agenerate(messages, stop, run_manager, **kwargs)
        body = request_body(self, messages, stop, **kwargs)
        told = await self._tell(body, hearing, run_manager.run_id, thinking=self.tells_thinking(kwargs))
        return self._result(told, run_manager.run_id, kwargs)

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        hearing = self._hearing(run_manager, kwargs)
        if not hearing:
            return super()._generate(messages, stop, run_manager, **kwargs)
        body = request_body(self, messages, stop, **kwargs)
        told = concurrency.run(self._tell(body, hearing, run_manager.run_id, thinking=self.tells_thinking(kwargs)))
        return self._result(told, run_manager.run_id, kwargs)

    async def _tell(
        self, body: Mapping[str, Any], hearing: Sequence[GroupListener], run_id: UUID, *, thinking: bool
    ) -> list[Chunk]:
        """Hands on the answer as it comes, and returns it."""
        told: list[Chunk] = []

        def receive(chunks: list[Chunk]) -> None:
            for listener in hearing:
                listener.heard(run_id, chunks, thinking=thinking)
            told.extend(joined(chunks))

        await self.upstream().chat(body, receive, notify=notify_status.get())
        return told

    def _result(self, told: Sequence[Chunk], run_id: UUID, kwargs: Mapping[str, Any]) -> ChatResult:
        """The whole message, as LangChain makes it of a stream's chunks."""
        replay = _Replay.of(self, joined(told))
        chunks = list(replay._iterate_over_stream([], **kwargs))  # noqa: SLF001 - what its `stream` is made of
        for chunk in chunks:
            chunk.message.id = f"lc_run--{run_id}"
            chunk.message.response_metadata = _gen_info_and_msg_metadata(chunk)
        end = AIMessageChunk(content="", chunk_position="last", id=f"lc_run--{run_id}")
        return generate_from_stream(iter([*chunks, ChatGenerationChunk(message=end)]))


class _Replay(_ChatOllama):
    """A model whose answer is there already."""

    _told: Sequence[Chunk] = PrivateAttr(default=())

    @staticmethod
    def of(model: _ChatOllama, told: Sequence[Chunk]) -> _Replay:
        """The model, with this answer."""
        replay = twin(model, _Replay)
        replay._told = told  # noqa: SLF001 - of its own class
        return replay

    def _create_chat_stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, **kwargs: Any
    ) -> Iterator[Mapping[str, Any] | str]:
        return map(_as_mapping, self._told)


# The name under which it takes the place of `langchain_ollama`'s, by one import.
ChatOllama = StrictChatOllama


def _as_mapping(chunk: Chunk) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(chunk)
    message = fields.get("message") or {"content": ""}
    given = {key: value for key, value in message.items() if value is not None}
    fields["message"] = {"role": "assistant", "content": "", **given}
    if chunk.logprobs is None:
        fields.pop("logprobs", None)
    return fields


def _ollama_at(base_url: str | None, kwargs: Mapping[str, Any]) -> Ollama:
    settings = Settings()
    url = parse_ollama_host(base_url) if base_url else settings.ollama_url
    return ollama_with(settings.change(ollama_url=url), kwargs)
