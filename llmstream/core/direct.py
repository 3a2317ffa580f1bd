"""Chains whose model is read straight from Ollama, where nothing could tell the difference.

What comes before the model runs once, by LangChain, with its callbacks; from then on no object of LangChain's is made
for any token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from langchain_core.globals import get_debug
from langchain_core.language_models._utils import _normalize_messages
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable
from langchain_core.runnables.config import ensure_config
from langchain_core.utils.env import env_var_is_set
from langchain_ollama import ChatOllama

from llmstream.chain import StrictChatOllama, request_body
from llmstream.core.anatomy import sync_parts
from llmstream.core.emitter import Emitter
from llmstream.core.reader import Part, Reader, is_set_apart
from llmstream.core.shape import Shape, shape_of
from llmstream.core.watched import watched
from llmstream.core.watcher import Watcher
from llmstream.events import Usage
from llmstream.ollama.chunks import Chunk, LastChunk
from llmstream.ollama.models import Ollama

if TYPE_CHECKING:
    from llmstream.core.job import Job


@dataclass(frozen=True)
class Fast:
    """A chain that is read straight from Ollama: its model, its request, and the steps before the model.

    body: of the request; None where the steps before the model have to run first.
    """

    shape: Shape
    ollama: Ollama
    body: Mapping[str, Any] | None

    @property
    def model(self) -> str:
        """The name of the model that answers."""
        return str(self.shape.kwargs.get("model", self.shape.model.model))

    @cached_property
    def sync_parts(self) -> Sequence[str]:
        """The names of the steps that a stop can't end."""
        return sync_parts(self.shape.before) if self.shape.before is not None else ()


async def fast_way(chain: Runnable[Any, Any], value: Any) -> Fast | None:
    """The way to read this chain straight from Ollama; None where the answer could differ from LangChain's."""
    shape = shape_of(chain)
    if shape is None or _is_special(shape.model) or _is_observed(shape.model):
        return None
    ollama = shape.ollama or cast("StrictChatOllama", shape.model).ollama()
    if shape.before is not None:
        return Fast(shape, ollama, None)
    prompt = shape.prompt
    try:
        if isinstance(prompt, str):
            messages = _normalized(value[prompt])
        elif prompt is not None:
            messages = _normalized((await prompt.aformat_prompt(**value)).to_messages())
        else:
            messages = _messages(shape.model, value)
        body = request_body(shape.model, messages, **shape.kwargs)
    except Exception:  # the chain will fail by itself, and be told of as any other that does
        return None
    return Fast(shape, ollama, body)


async def read_fast(job: Job, fast: Fast, emitter: Emitter) -> None:
    """Emits the chain's answer, to the end; raises the chain's error."""
    if fast.body is not None:
        return await _read(fast, fast.body, emitter)
    shape = fast.shape
    watcher = Watcher(emitter, _BeforeReader(emitter, named=False))
    async with watched(watcher, job.settings):
        said = await _run_before(shape, job.chain_input, watcher, emitter)
        if not said:  # the model is not asked then
            return emitter.finish("stop", watcher.usage, calls_left=False)
        body = request_body(shape.model, _messages(shape.model, said[0]), **shape.kwargs)
    await _read(fast, body, emitter, watcher)


async def _read(fast: Fast, body: Mapping[str, Any], emitter: Emitter, before: Watcher | None = None) -> None:
    """Emits Ollama's answer, to the end; before: the reader of the steps before the model, with their tokens."""
    model, kwargs = fast.shape.model, fast.shape.kwargs
    thinking = bool(kwargs.get("reasoning", model.reasoning))  # ChatOllama drops what was not asked for

    def receive(chunks: list[Chunk]) -> None:
        emitter.chunks(chunks, thinking=thinking)
        emitter.check()
        if chunks[-1].done:
            last = cast("LastChunk", chunks[-1])
            usage = Usage(last.prompt_eval_count, last.eval_count)
            emitter.finish_ollama(last, before.used(usage) if before else usage)

    await fast.ollama.chat(body, receive, notify=emitter.status)


async def _run_before(shape: Shape, value: Any, watcher: Watcher, emitter: Emitter) -> list[Any]:
    """The input that the steps before the model make for it, joined as LangChain does for a step that takes no stream.

    Empty where they yield nothing. Source: langchain_core/runnables/base.py (Runnable.atransform).
    """
    before = cast("Runnable[Any, Any]", shape.before)
    whole: list[Any] = []
    async with aclosing(before.astream(value, {**shape.config, "callbacks": [watcher]})) as items:  # type: ignore[type-var]
        async for item in items:
            try:
                whole = [whole[0] + item] if whole else [item]
            except TypeError:
                whole = [item]
            emitter.check()
    return whole


class _BeforeReader(Reader):
    """A reader of the steps before the model: tells their tools and documents; their text is no part of the answer."""

    def model_ended(self, part: Part, message: BaseMessage | None) -> None:
        """Notes the calls that a model asks for: the steps after it may carry them out."""
        if message is not None and not part.is_inner:
            self.calls.ask(getattr(message, "tool_calls", ()))


def _messages(model: ChatOllama, value: Any) -> list[BaseMessage]:
    """The messages that a chat model makes of its input."""
    return _normalized(model._convert_input(value).to_messages())  # noqa: SLF001 - what its `astream` begins with


def _normalized(messages: list[BaseMessage]) -> list[BaseMessage]:
    """Messages with their content blocks as LangChain hands them to a model's own code."""
    is_text = all(isinstance(message.content, str) for message in messages)
    return messages if is_text else _normalize_messages(messages)


def _is_special(model: ChatOllama) -> bool:
    """True if LangChain would do more for a model than ask it and hand on the answer."""
    return bool(
        model.rate_limiter
        or model.disable_streaming
        or model.cache
        or is_set_apart(model.tags or (), model.metadata or {})
    )


def _is_observed(model: ChatOllama) -> bool:
    """True if a callback or a tracer would hear of a call.

    Looks where LangChain looks for them (`_configure` in langchain_core/callbacks/manager.py), but makes no callback
    manager, which would take a third of the time until a question is on its way.
    """
    from langchain_core.tracers.context import _configure_hooks, _tracing_v2_is_enabled  # brings in langsmith, 130 ms

    around = ensure_config().get("callbacks")  # a list, or a manager
    if getattr(around, "handlers", around) or model.callbacks or model.verbose or get_debug():
        return True
    hooks = (var.get() is not None or (name and env_var_is_set(name)) for var, _, _, name in _configure_hooks)
    return bool(_tracing_v2_is_enabled()) or any(hooks)
