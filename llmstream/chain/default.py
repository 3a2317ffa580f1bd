"""The default chain: prompt → model."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import SystemMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, SystemMessagePromptTemplate
from langchain_core.runnables import Runnable

from llmstream import concurrency
from llmstream.chain.chat_model import StrictChatOllama
from llmstream.concurrency import questions
from llmstream.ollama.models import Ollama
from llmstream.settings import Settings, Thinking

CONTEXT_PROMPT = "Answer from this context. If it does not hold the answer, say so.\n\n{context}"

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
