"""The default chain, prompt → model, and the model: a `ChatOllama` that streams through the strict reader."""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any, Self

import msgspec
from langchain_core.messages import BaseMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, SystemMessagePromptTemplate
from langchain_core.runnables import Runnable
from pydantic import PrivateAttr

from llmstream import concurrency
from llmstream.concurrency import pulled, questions
from llmstream.errors import InvalidRequest
from llmstream.events import Status
from llmstream.ollama.chunks import Chunk
from llmstream.ollama.client_kwargs import ollama_with
from llmstream.ollama.models import Ollama
from llmstream.settings import Settings, Thinking, parse_ollama_host, plain_ollama_host

with plain_ollama_host():
    from langchain_ollama import ChatOllama as _ChatOllama

CONTEXT_PROMPT = "Answer from this context. If it does not hold the answer, say so.\n\n{context}"

# Where the model tells what it had to do to the prompt, for the generator that runs the chain.
notify_status: ContextVar[Callable[[Status], None] | None] = ContextVar("notify_status", default=None)


class StrictChatOllama(_ChatOllama):
    """A `langchain_ollama.ChatOllama` in every respect, but streaming through the strict reader, `ollama.chat`.

    A truncated, stalled or malformed answer raises an `llmstream.errors.UpstreamError` instead of ending like a
    complete one, there is no limit of 100 connections, and what the request needs (images, tools, thinking) is checked
    against the model first. Of `client_kwargs` it honours headers, timeout, verify, cookies and auth.
    """

    _ollama: Ollama | None = PrivateAttr(default=None)

    def ollama(self) -> Ollama:
        """The server this model streams from."""
        return self._ollama or _ollama_of(self)

    def through(self, ollama: Ollama) -> Self:
        """The model itself, from now on streaming from a given server."""
        self._ollama = ollama
        return self

    async def _acreate_chat_stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, **kwargs: Any
    ) -> AsyncIterator[Mapping[str, Any] | str]:
        async with aclosing(self._chunks(messages, stop, kwargs)) as reads:
            async for chunks in reads:
                for chunk in chunks:
                    yield _as_mapping(chunk)

    def _create_chat_stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, **kwargs: Any
    ) -> Iterator[Mapping[str, Any] | str]:
        reads = self._chunks(messages, stop, kwargs)
        for chunks in concurrency.iterate(lambda: reads):
            yield from map(_as_mapping, chunks)

    def _chunks(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> AsyncGenerator[list[Chunk], None]:
        body = request_body(self, messages, stop, **kwargs)
        notify = notify_status.get() or _ignore
        return pulled(lambda receive: self.ollama().chat(body, receive, notify=notify))


# The name under which it takes the place of `langchain_ollama`'s, by one import.
ChatOllama = StrictChatOllama


def request_body(
    model: _ChatOllama, messages: list[BaseMessage], /, stop: list[str] | None = None, **kwargs: Any
) -> dict[str, Any]:
    """The body of `/api/chat` with which a model asks for an answer to these messages."""
    params = model._chat_params(messages, stop, **kwargs)  # noqa: SLF001 - the one place that knows what it sends
    body = {key: value for key, value in params.items() if value is not None}
    for message in body["messages"]:
        if message.get("images"):
            message["images"] = [_base64(image) for image in message["images"]]
        else:
            message.pop("images", None)
    return body


def _ignore(status: Status) -> None:
    """Does nothing with a status: no generator runs this chain."""


def _base64(image: str) -> str:
    """The image without the line ends that MIME puts into base64.

    Checked here, because the `ollama` package would read a file where the text is the name of one.
    """
    image = "".join(image.split())
    try:
        base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(
            "An image must be base64 text or a data: URL; links and file names are not read."
        ) from None
    return image


def _as_mapping(chunk: Chunk) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(chunk)
    message = fields.get("message") or {"content": ""}
    given = {key: value for key, value in message.items() if value is not None}
    fields["message"] = {"role": "assistant", "content": "", **given}
    if chunk.logprobs is None:
        fields.pop("logprobs", None)
    return fields


def _ollama_of(model: StrictChatOllama) -> Ollama:
    settings = Settings.load()
    url = parse_ollama_host(model.base_url) if model.base_url else settings.ollama_url
    kwargs = {**(model.client_kwargs or {}), **(model.async_client_kwargs or {})}
    return ollama_with(settings.change(ollama_url=url), kwargs)


_CHAT_MODELS_KEPT = _CHAINS_KEPT = 64
_chains: dict[tuple[Any, ...] | None, Runnable[Any, Any]] = {}
_chat_models: dict[tuple[str, Ollama], StrictChatOllama] = {}


async def _chat_model(name: str, ollama: Ollama) -> StrictChatOllama:
    """The shared instance, built by the first of many that ask at the same time."""
    model = _chat_models.get((name, ollama))
    return model or await ollama.once(f"build {name}", functools.partial(_build_chat_model, name, ollama))


async def _build_chat_model(name: str, ollama: Ollama) -> StrictChatOllama:
    # Building one loads certificates, which takes 50 ms.
    model = await questions.run(StrictChatOllama, model=name, base_url=ollama.endpoint.url)
    _chat_models[name, ollama] = model.through(ollama)
    while len(_chat_models) > _CHAT_MODELS_KEPT:
        del _chat_models[next(iter(_chat_models))]
    return model


def open_chain(
    settings: Settings | None = None,
    *,
    model: str | None = None,
    thinking: Thinking | None = None,
    options: Mapping[str, Any] | None = None,
    with_context: bool = False,
) -> Runnable[Any, Any]:
    """The default chain: a prompt over `messages` (and `context`), then the model.

    It sends what it is given and nothing else, but for what the settings say (system_prompt, temperature, num_ctx).
    model: None takes the settings' one, else chooses (see `Ollama.choose_model`); asks Ollama, blocking.
    thinking: None takes the settings' one. options: Ollama's, over the settings'.
    """
    settings = settings or Settings.load()
    return concurrency.run(
        aopen_chain(settings, model=model, thinking=thinking, options=options, with_context=with_context)
    )


async def aopen_chain(
    settings: Settings,
    *,
    model: str | None = None,
    thinking: Thinking | None = None,
    options: Mapping[str, Any] | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
    format: str | Mapping[str, Any] | None = None,
    with_context: bool = False,
) -> Runnable[Any, Any]:
    """`open_chain` for a running event loop; tools and format are those of `astream`."""
    ollama = Ollama.of(settings)
    name = model or settings.model or await ollama.choose_model()
    kwargs: dict[str, Any] = {}
    think = settings.thinking if thinking is None else thinking
    # Unset, a thinking model thinks; a model that can't think should not be sent the word at all.
    if think or "thinking" in await ollama.capabilities(name):
        kwargs["reasoning"] = think
    if all_options := _options(settings, options):
        kwargs["options"] = all_options
    if tools:
        kwargs["tools"] = list(tools)
    if format is not None:
        kwargs["format"] = format
    chat_model = await _chat_model(name, ollama)
    # The same chain again and again, unless something in it is of this one request: making one delays the answer.
    key = (
        (id(chat_model), settings.system_prompt, with_context, *kwargs.items())
        if kwargs.keys() <= {"reasoning"}
        else None
    )
    chain = _chains.get(key)
    if chain is None:
        chain = _prompt(settings.system_prompt, with_context) | chat_model.bind(**kwargs)
        if key is not None:
            _chains[key] = chain
            while len(_chains) > _CHAINS_KEPT:
                del _chains[next(iter(_chains))]
    return chain


def _options(settings: Settings, options: Mapping[str, Any] | None) -> dict[str, Any]:
    own = {"temperature": settings.temperature, "num_ctx": settings.num_ctx}
    return {name: value for name, value in {**own, **(options or {})}.items() if value is not None}


@functools.lru_cache(maxsize=64)
def _prompt(system_prompt: str | None, with_context: bool) -> ChatPromptTemplate:
    parts: list[Any] = [SystemMessage(system_prompt)] if system_prompt else []
    if with_context:
        parts.append(SystemMessagePromptTemplate.from_template(CONTEXT_PROMPT))
    return ChatPromptTemplate([*parts, MessagesPlaceholder("messages")])
