"""Chains whose model is read straight from its server, where nothing could tell the difference.

What comes before the model runs once, by LangChain, with its callbacks; from then on no object of LangChain's is made
for any token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import BaseMessage
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config

from llmstream.chain.handlers import goes_its_own_way, handlers_in, is_traced
from llmstream.core.answer.emitter import Emitter
from llmstream.core.chain_part import ChainPart, is_set_apart
from llmstream.core.chains.answering_model import Shape, shape_of
from llmstream.core.chains.inspection import sync_parts
from llmstream.core.readers.reader import Reader
from llmstream.core.running.callbacks import Watcher
from llmstream.core.running.guard import guarded_run
from llmstream.events import Usage
from llmstream.ollama.chunks import Chunk, LastChunk
from llmstream.ollama.upstream import Upstream

if TYPE_CHECKING:
    from llmstream.core.job import Job


@dataclass
class Fast:
    """A chain that is read straight from its server: its model, its request, and the steps before the model.

    body: of the request; None until the steps before the model, if there are any, have run.
    """

    shape: Shape
    upstream: Upstream
    body: Mapping[str, Any] | None

    @property
    def model(self) -> str:
        """The name of the model that answers."""
        return str(self.shape.kwargs.get("model", self.shape.model.model))

    @property
    def sync_parts(self) -> Sequence[str]:
        """The names of the steps that a stop can't end."""
        return sync_parts(self.shape.before) if self.shape.before is not None else ()


def direct_shape(chain: Runnable[Any, Any]) -> Shape | None:
    """The shape of a chain that can be read straight from its server; None where nothing but LangChain can run it."""
    shape = shape_of(chain)
    if shape is None or goes_its_own_way(shape.model):
        return None
    return None if is_set_apart(shape.model.tags or (), shape.model.metadata or {}) else shape


def can_go_on(chain: Runnable[Any, Any] | None, answer_nodes: Sequence[str] = ()) -> bool:
    """True if an answer of a chain that was cut can be continued; None is the default chain."""
    return chain is None or (not answer_nodes and direct_shape(chain) is not None)


async def fast_way(chain: Runnable[Any, Any], value: Any) -> Fast | None:
    """The way to read this chain straight from its server; None where the answer could differ from LangChain's."""
    shape = direct_shape(chain)
    if shape is None or is_traced() or handlers_in(ensure_config()):
        return None
    upstream = shape.model.upstream()
    if shape.before is not None:
        return Fast(shape, upstream, None)
    try:
        body = shape.model.body_of(await _formatted(shape.prompt, value), shape.kwargs)
    except Exception:  # the chain will fail by itself, and be told of as any other that does
        return None
    return Fast(shape, upstream, body)


def fast_again(chain: Runnable[Any, Any], messages: Sequence[Mapping[str, Any]]) -> Fast | None:
    """The way to ask a chain's model once more with messages that it was asked with; None where `fast_way` has none."""
    shape = direct_shape(chain)
    if shape is None:
        return None
    body = shape.model.body_of("", shape.kwargs)
    return Fast(shape, shape.model.upstream(), {**body, "messages": messages} if "messages" in body else body)


async def _formatted(prompt: BasePromptTemplate[Any] | str | None, value: Any) -> Any:
    """The model's input that a prompt makes of its values."""
    if isinstance(prompt, str):
        return value[prompt]
    return value if prompt is None else await prompt.aformat_prompt(**value)


async def _prompted(shape: Shape, value: Any) -> Any:
    """The model's input, of what the steps before its prompt give; a tenth of the work of running the prompt."""
    try:
        return await _formatted(shape.prompt, value)
    except Exception:  # no values by their names, or too few: it says which, or takes one value by itself
        return await cast("BasePromptTemplate[Any]", shape.prompt).ainvoke(value, {**shape.config, "callbacks": []})


async def read_fast(job: Job, fast: Fast, emitter: Emitter) -> None:
    """Emits the chain's answer, to the end; raises the chain's error."""
    if fast.body is not None:
        return await _read(fast, fast.body, emitter)
    shape = fast.shape
    watcher = Watcher(emitter, _BeforeReader(emitter, named=False))
    async with guarded_run(watcher, job.settings):
        said = await _run_before(shape, job.chain_input, watcher, emitter)
        if not said:  # the model is not asked then
            return emitter.finish("stop", watcher.usage, calls_left=False)
        fast.body = shape.model.body_of(await _prompted(shape, said[0]), shape.kwargs)
    await _read(fast, fast.body, emitter, watcher)


async def _read(fast: Fast, body: Mapping[str, Any], emitter: Emitter, before: Watcher | None = None) -> None:
    """Emits the model's answer, to the end; before: the reader of the steps before the model, with their tokens."""
    thinking = fast.shape.model.tells_thinking(fast.shape.kwargs)

    def receive(chunks: list[Chunk]) -> None:
        emitter.chunks(chunks, thinking=thinking)
        emitter.check()
        if chunks[-1].done:
            last = cast("LastChunk", chunks[-1])
            usage = Usage(last.prompt_eval_count, last.eval_count)
            emitter.finish_ollama(last, before.used(usage) if before else usage)

    await fast.upstream.chat(body, receive, notify=emitter.status)


async def _run_before(shape: Shape, value: Any, watcher: Watcher, emitter: Emitter) -> list[Any]:
    """The values that the steps before the model and its prompt give; empty where they yield nothing.

    What they stream is joined as LangChain does for a step that takes no stream.
    Source: langchain_core/runnables/base.py (Runnable.atransform).
    """
    before = cast("Runnable[Any, Any]", shape.before)
    config: RunnableConfig = {**shape.config, "callbacks": [watcher]}
    if shape.is_whole:
        return [await before.ainvoke(value, config)]
    whole: list[Any] = []
    async with aclosing(before.astream(value, config)) as items:  # type: ignore[type-var]
        async for item in items:
            try:
                whole = [whole[0] + item] if whole else [item]
            except TypeError:
                whole = [item]
            emitter.check()
    return whole


class _BeforeReader(Reader):
    """A reader of the steps before the model: tells their tools and documents; their text is no part of the answer."""

    def model_ended(self, part: ChainPart, message: BaseMessage | None) -> None:
        """Notes the calls that a model asks for: the steps after it may carry them out."""
        if message is not None and not part.is_inner:
            self.calls.ask(getattr(message, "tool_calls", ()))
