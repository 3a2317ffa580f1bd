"""The default chain: prompt → model."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.messages import SystemMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, SystemMessagePromptTemplate
from langchain_core.runnables import Runnable

from llmstream import concurrency
from llmstream.chain.chat_model import StrictChatOllama
from llmstream.chain.openai_request import fields_of
from llmstream.concurrency import Newest, questions
from llmstream.errors import SettingsError
from llmstream.ollama.server_kinds import OLLAMA, OPENAI
from llmstream.ollama.upstream import Upstream
from llmstream.openai.upstream_from_settings import upstream_of
from llmstream.settings import Settings, Thinking

if TYPE_CHECKING:
    from llmstream.chain.openai_model import StrictChatOpenAI

CONTEXT_PROMPT = "Answer from this context. If it does not hold the answer, say so.\n\n{context}"

_KEPT = 64
_chains: Newest[tuple[Any, ...] | None, Runnable[Any, Any]] = Newest(_KEPT)
_chat_models: Newest[tuple[str, Upstream], StrictChatOllama | StrictChatOpenAI] = Newest(_KEPT)


async def _chat_model(name: str, upstream: Upstream) -> StrictChatOllama | StrictChatOpenAI:
    """The shared instance, built by the first of many that ask at the same time."""
    model = _chat_models.get((name, upstream))
    return model or await upstream.once(f"build {name}", functools.partial(_build_chat_model, name, upstream))


async def _build_chat_model(name: str, upstream: Upstream) -> StrictChatOllama | StrictChatOpenAI:
    # Building one loads certificates, which takes 50 ms.
    model: StrictChatOllama | StrictChatOpenAI = await questions.run(_new_chat_model, name, upstream)
    _chat_models[name, upstream] = model
    return model


def _new_chat_model(name: str, upstream: Upstream) -> StrictChatOllama | StrictChatOpenAI:
    if upstream.endpoint.server is OLLAMA:
        return StrictChatOllama(model=name, base_url=upstream.endpoint.url).through(upstream)
    try:
        from llmstream.chain.openai_model import of_server
    except ModuleNotFoundError as error:
        raise SettingsError(
            "LLMSTREAM_UPSTREAM names an OpenAI-compatible server, which takes the package langchain-openai: "
            "pip install 'llmstream-toolkit[openai]'."
        ) from error
    return of_server(name, upstream)


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
    settings = settings or Settings()
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
    upstream = await upstream_of(settings)
    name = model or settings.model or await upstream.choose_model()
    think = settings.thinking if thinking is None else thinking
    of_this = _options(settings, options), tools, format
    if upstream.endpoint.server is OPENAI:
        kwargs = fields_of(await upstream.kind(), think, *of_this)
    else:
        # Unset, a thinking model thinks; a model that can't think should not be sent the word at all.
        sends_think = think or "thinking" in await upstream.capabilities(name)
        kwargs = _kwargs(think if sends_think else None, *of_this)
    chat_model = await _chat_model(name, upstream)
    # The same chain again and again, unless something in it is of this one request: making one delays the answer.
    key = None if any(of_this) else (id(chat_model), settings.system_prompt, with_context, repr(kwargs))
    chain = _chains.get(key)
    if chain is None:
        chain = _prompt(settings.system_prompt, with_context) | chat_model.bind(**kwargs)
        if key is not None:
            _chains[key] = chain
    return chain


def _kwargs(
    think: Thinking | None,
    options: Mapping[str, Any],
    tools: Sequence[Mapping[str, Any]],
    format: str | Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The arguments bound to a `ChatOllama`."""
    given = {"reasoning": think, "options": options or None, "tools": list(tools) or None, "format": format}
    return {name: value for name, value in given.items() if value is not None}


def _options(settings: Settings, options: Mapping[str, Any] | None) -> dict[str, Any]:
    own = {"temperature": settings.temperature, "num_ctx": settings.num_ctx}
    return {name: value for name, value in {**own, **(options or {})}.items() if value is not None}


@functools.lru_cache(maxsize=64)
def _prompt(system_prompt: str | None, with_context: bool) -> ChatPromptTemplate:
    parts: list[Any] = [SystemMessage(system_prompt)] if system_prompt else []
    if with_context:
        parts.append(SystemMessagePromptTemplate.from_template(CONTEXT_PROMPT))
    return ChatPromptTemplate([*parts, MessagesPlaceholder("messages")])
