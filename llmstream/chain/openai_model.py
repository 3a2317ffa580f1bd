"""A `ChatOpenAI` that answers through the strict reader; importing it takes `llmstream-toolkit[openai]`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from openai.lib._parsing import type_to_response_format_param
from pydantic import BaseModel, PrivateAttr, SecretStr

from llmstream import concurrency
from llmstream.chain.handlers import notify_status
from llmstream.chain.request import are_messages, normalized
from llmstream.concurrency import pulled
from llmstream.errors import InvalidRequest
from llmstream.ollama.chunks import Chunk
from llmstream.ollama.client_kwargs import wait_s
from llmstream.ollama.endpoint import Endpoint, limits_of
from llmstream.ollama.server_kinds import OPENAI
from llmstream.ollama.upstream import Upstream
from llmstream.openai.events import LastEvent
from llmstream.openai.models import OpenAIServer
from llmstream.settings import Settings


class StrictChatOpenAI(ChatOpenAI):
    """`langchain_openai.ChatOpenAI` in every respect, but answering through `llmstream.openai`'s reader.

    A truncated, stalled or malformed answer raises an `llmstream.errors.UpstreamError` instead of ending like a
    complete one, and the model's thinking is kept, in `additional_kwargs["reasoning_content"]`. It asks with
    `chat/completions`, for one answer at a time; with `use_responses_api` or `n` above 1 LangChain's own client does.
    """

    _upstream: Upstream | None = PrivateAttr(default=None)

    def upstream(self) -> Upstream:
        """The server this model streams from."""
        if self._upstream is None:
            self._upstream = _server_of(self)
        return self._upstream

    def through(self, upstream: Upstream) -> Self:
        """Has the model stream from a given server from now on; returns the model."""
        self._upstream = upstream
        return self

    def body_of(self, value: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The body of the request for what the model is given, and what is bound to it."""
        messages = normalized(value if are_messages(value) else self._convert_input(value).to_messages())
        return self._body(messages, **kwargs)

    def tells_thinking(self, kwargs: Mapping[str, Any]) -> bool:
        """True: whether a model thinks is often the server's to say, and what it thought is told."""
        return True

    def is_other_api(self, kwargs: Mapping[str, Any]) -> bool:
        """True where LangChain's own client asks: with OpenAI's Responses, or for several answers."""
        several = (kwargs.get("n") or self.n or 1) > 1
        return several or self._use_responses_api({**kwargs, **self.model_kwargs})

    def _body(self, messages: list[BaseMessage], stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        body = self._get_request_payload(messages, stop=stop, **kwargs)
        if body.pop("extra_headers", None) or body.pop("extra_query", None):
            raise InvalidRequest("extra_headers and extra_query can't be sent; default_headers of the model can.")
        for name in ("timeout", "stream_usage"):  # they are for LangChain's own client; usage is always asked for
            body.pop(name, None)
        body |= body.pop("extra_body", None) or {}
        if isinstance(schema := body.get("response_format"), type):
            body["response_format"] = type_to_response_format_param(schema)
        body["messages"] = [_given(message) for message in body["messages"]]  # llama-cpp-python takes no null for text
        return _given(body)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        if self.is_other_api(kwargs):
            async for chunk in super()._astream(messages, stop, run_manager, **kwargs):
                yield chunk
            return
        told = _Told(self, kwargs.get("response_format"))
        async with aclosing(self._reads(messages, stop, kwargs)) as reads:
            async for chunks in reads:
                for made in told.of(chunks):
                    if run_manager:
                        await run_manager.on_llm_new_token(made.text, chunk=made)
                    yield made

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        if self.is_other_api(kwargs):
            yield from super()._stream(messages, stop, run_manager, **kwargs)
            return
        told = _Told(self, kwargs.get("response_format"))
        reads = self._reads(messages, stop, kwargs)
        for chunks in concurrency.iterate(lambda: reads):
            for made in told.of(chunks):
                if run_manager:
                    run_manager.on_llm_new_token(made.text, chunk=made)
                yield made

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if self.is_other_api(kwargs):
            return await super()._agenerate(messages, stop, run_manager, **kwargs)
        return await agenerate_from_stream(self._astream(messages, stop, None, **kwargs))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if self.is_other_api(kwargs):
            return super()._generate(messages, stop, run_manager, **kwargs)
        return generate_from_stream(self._stream(messages, stop, None, **kwargs))

    def _reads(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> AsyncGenerator[list[Chunk], None]:
        body, notify = self._body(messages, stop, **kwargs), notify_status.get()
        return pulled(lambda receive: self.upstream().chat(body, receive, notify=notify))


def of_server(name: str, server: Upstream) -> StrictChatOpenAI:
    """A model of a server, whose endpoint has its key: a key of the environment is for another one."""
    model = StrictChatOpenAI(
        model=name, base_url=server.endpoint.url, api_key=SecretStr("none"), use_responses_api=False
    )
    return model.through(server)


class _Told:
    """Chunks of the reader → LangChain's, made by `ChatOpenAI` of the events that they were."""

    def __init__(self, model: StrictChatOpenAI, response_format: Any) -> None:
        self._model = model
        self._schema = response_format if isinstance(response_format, type) else None
        self._texts: list[str] = []

    def of(self, chunks: list[Chunk]) -> Iterator[ChatGenerationChunk]:
        """LangChain's chunks; where an object of a class was asked for, the last one holds it, as `ChatOpenAI`'s do."""
        for chunk in chunks:
            event = _event_of(chunk)
            made = self._model._convert_chunk_to_generation_chunk(event, AIMessageChunk, None)  # noqa: SLF001
            if made is None:
                continue
            delta = event["choices"][0]["delta"]
            if thinking := delta.get("reasoning_content"):
                made.message.additional_kwargs["reasoning_content"] = thinking
            if self._schema is not None:
                self._texts.append(delta.get("content") or "")
                if chunk.done and issubclass(self._schema, BaseModel) and (text := "".join(self._texts)):
                    made.message.additional_kwargs["parsed"] = self._schema.model_validate_json(text)
            yield made


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def _event_of(chunk: Chunk) -> dict[str, Any]:
    """The event that a chunk was."""
    delta: dict[str, Any] = {"role": "assistant"}
    choice: dict[str, Any] = {"index": 0, "delta": delta}
    event: dict[str, Any] = {"choices": [choice]}
    if (message := chunk.message) is not None:
        delta["content"] = message.content
        if message.thinking:
            delta["reasoning_content"] = message.thinking
        if message.tool_calls:
            delta["tool_calls"] = message.tool_calls
    if chunk.logprobs is not None:
        choice["logprobs"] = {"content": chunk.logprobs}
    if isinstance(chunk, LastEvent):
        choice["finish_reason"] = chunk.done_reason
        event |= {name: getattr(chunk, name) for name in ("model", "usage", "system_fingerprint", "service_tier")}
    return event


def _server_of(model: StrictChatOpenAI) -> OpenAIServer:
    """The server that the model's own client would ask, in the same way."""
    client: Any = model.root_async_client
    headers = {**client.auth_headers, **(model.default_headers or {})}
    if model.openai_organization:
        headers["OpenAI-Organization"] = model.openai_organization
    return OpenAIServer(
        Endpoint(
            url=str(client.base_url).rstrip("/"),
            **limits_of(Settings(), wait_s(model.request_timeout)),
            headers={str(name): str(value) for name, value in headers.items()},
            server=OPENAI,
        )
    )
