"""Chains that are read straight from Ollama, where nothing could tell the difference.

Such a chain is a prompt, if any, and a `StrictChatOllama`, with no callback or tracer listening.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.globals import get_debug
from langchain_core.prompts import BasePromptTemplate, ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import Runnable, RunnableBinding, RunnableSequence
from langchain_core.runnables.config import ensure_config
from langchain_core.utils.env import env_var_is_set

from llmstream.chain import StrictChatOllama
from llmstream.core.anatomy import ByChain
from llmstream.core.emitter import Emitter
from llmstream.ollama.chunks import Chunk, LastChunk
from llmstream.ollama.models import Ollama


@dataclass(frozen=True)
class Fast:
    """A chain that may be read straight from Ollama: the server and the body of its request."""

    ollama: Ollama
    body: Mapping[str, Any]
    thinking: bool  # whether the model's thinking is shown: ChatOllama drops what was not asked for


async def read_fast(fast: Fast, emitter: Emitter) -> None:
    """Emit what Ollama answers, to the end."""

    def receive(chunks: list[Chunk]) -> None:
        emitter.chunks(chunks, thinking=fast.thinking)
        emitter.check()
        if chunks[-1].done:
            emitter.finish_ollama(cast("LastChunk", chunks[-1]))

    await fast.ollama.chat(fast.body, receive, notify=emitter.status)


async def fast_way(chain: Runnable[Any, Any], value: Any) -> Fast | None:
    """How to read this chain straight from Ollama, where nothing could tell the difference."""
    shape = _shapes.get(chain)
    if shape is None or shape.model.rate_limiter or shape.model.disable_streaming:
        return None
    if _observed(shape.model, shape.prompt):
        return None
    prompt, model, kwargs = shape.prompt, shape.model, shape.kwargs
    try:
        if isinstance(prompt, str):
            messages = value[prompt]
        else:
            messages = (await prompt.aformat_prompt(**value)).to_messages() if prompt is not None else value
        # Content blocks take LangChain's normalizing.
        is_text = all(isinstance(message.content, str) for message in messages)
    except Exception:  # the chain will fail by itself, and be told of as any other that does
        return None
    if not is_text:
        return None
    thinking = bool(kwargs.get("reasoning", model.reasoning))
    return Fast(model.ollama(), model.request_body(messages, **kwargs), thinking)


@dataclass(frozen=True)
class _Shape:
    """A chain that is a prompt, if any, a model that streams through the reader, and what is bound to it.

    prompt: the name of the variable where it hands on messages as they are, as the default one does.
    """

    prompt: BasePromptTemplate[Any] | str | None
    model: StrictChatOllama
    kwargs: Mapping[str, Any]


def _shape(chain: Runnable[Any, Any]) -> _Shape | None:
    prompt: BasePromptTemplate[Any] | None = None
    rest: Any = chain
    if type(chain) is RunnableSequence:
        if len(chain.steps) != 2 or not isinstance(chain.first, BasePromptTemplate):
            return None
        prompt, rest = chain.first, chain.last
    kwargs: Mapping[str, Any] = {}
    # By its id: what a chat model's `bind` gives is a RunnableBinding of another class.
    if isinstance(rest, RunnableBinding) and rest.lc_id() == RunnableBinding.lc_id() and not _configured(rest):
        rest, kwargs = rest.bound, rest.kwargs
    return _Shape(_handed_on(prompt) or prompt, rest, kwargs) if type(rest) is StrictChatOllama else None


def _handed_on(prompt: BasePromptTemplate[Any] | None) -> str | None:
    """The variable whose messages are all that a prompt makes; None where it makes something of its own."""
    if type(prompt) is not ChatPromptTemplate or prompt.metadata or prompt.tags or prompt.partial_variables:
        return None
    only = prompt.messages[0] if len(prompt.messages) == 1 else None
    if type(only) is not MessagesPlaceholder or only.optional or only.n_messages is not None:
        return None
    return only.variable_name


# Looking at a chain takes a tenth of what there is to do before a question is on its way.
_shapes = ByChain(_shape)


def _configured(binding: RunnableBinding[Any, Any]) -> bool:
    return bool(binding.config or binding.config_factories)


def _observed(model: StrictChatOllama, prompt: BasePromptTemplate[Any] | str | None) -> bool:
    """Whether a callback or a tracer would hear of a call.

    Looks where LangChain looks for them (`_configure` in langchain_core/callbacks/manager.py), but makes no callback
    manager, which would take a third of the time until a question is on its way.
    """
    from langchain_core.tracers.context import _configure_hooks, _tracing_v2_is_enabled  # brings in langsmith, 130 ms

    if isinstance(prompt, BasePromptTemplate) and (prompt.metadata or prompt.tags):
        return True
    around = ensure_config().get("callbacks")  # a list, or a manager
    if getattr(around, "handlers", around) or model.callbacks or model.verbose or get_debug():
        return True
    hooks = (var.get() is not None or (name and env_var_is_set(name)) for var, _, _, name in _configure_hooks)
    return bool(_tracing_v2_is_enabled()) or any(hooks)
