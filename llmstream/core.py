"""The generator: (chain, question) → events.

`prepare` checks everything that can be refused before an answer begins; `generate` runs the chain and hands its events
to a sink, ending with exactly one terminal event; the public generators stand on the two.

A chain that is exactly prompt → `StrictChatOllama`, with no callback or tracer listening, is read straight from the
reader; every other chain goes through `astream` and callbacks. The events are the same.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack, cast

from langchain_core.globals import get_debug
from langchain_core.prompts import BasePromptTemplate, ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import Runnable, RunnableBinding, RunnableSequence
from langchain_core.runnables.base import coerce_to_runnable
from langchain_core.runnables.config import ensure_config
from langchain_core.utils.env import env_var_is_set

from llmstream import background
from llmstream.anatomy import ByChain, is_cumulative, is_graph, is_sync_only, model_name, sync_parts
from llmstream.chain import StrictChatOllama, aopen_chain, notify_status
from llmstream.chunks import Chunk, LastChunk
from llmstream.emitter import Emitter, Sink
from llmstream.errors import (
    ChainFailed,
    InvalidRequest,
    LimitExceeded,
    LlmstreamError,
    UpstreamEmpty,
    UpstreamTruncated,
)
from llmstream.events import Event, Started, Status, Token, failed
from llmstream.inputs import Input, Question, chain_input, to_messages
from llmstream.leftovers import end_leftovers
from llmstream.ollama import Ollama
from llmstream.outputs import Outputs, Watcher
from llmstream.pulled import pulled
from llmstream.settings import Settings, Thinking
from llmstream.stall import StallGuard
from llmstream.translate import translate

logger = logging.getLogger("llmstream")

# After how long without a sign from Ollama a person is told what it is waiting for.
WAITING_AFTER_S = 1.0


@dataclass(frozen=True)
class Fast:
    """A chain that may be read straight from Ollama: the server and the body of its request."""

    ollama: Ollama
    body: Mapping[str, Any]
    thinking: bool  # whether the model's thinking is shown: ChatOllama drops what was not asked for


@dataclass(frozen=True)
class Job:
    """A question ready to be answered."""

    chain: Runnable[Any, Any]
    chain_input: Any
    settings: Settings
    model: str
    fast: Fast | None
    sync_parts: Sequence[str]  # what a stop can't end

    def started(self) -> Started:
        """The first event."""
        return Started(self.model, time.time())


async def prepare(
    question: Input,
    *,
    chain: object = None,
    context: str | None = None,
    history: Sequence[Any] = (),
    settings: Settings | None = None,
    model: str | None = None,
    thinking: Thinking | None = None,
    options: Mapping[str, Any] | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
    format: str | Mapping[str, Any] | None = None,
) -> Job:
    """A question, checked and bound to its chain; the arguments are those of `astream_events`.

    Raises `LlmstreamError`: everything that can be told before an answer begins.
    """
    settings = settings or Settings.load()
    if chain is None:
        runnable = await aopen_chain(
            settings,
            model=model,
            thinking=thinking,
            options=options,
            tools=tools,
            format=format,
            with_context=context is not None,
        )
    elif model is not None or thinking is not None or options or tools or format is not None:
        raise InvalidRequest(
            "model, thinking, options, tools and format belong to the default chain; this chain brings its own."
        )
    else:
        runnable = as_runnable(chain)
    if isinstance(question, Mapping):
        if context is not None or history:
            raise InvalidRequest("A dict is the chain's whole input: put the context and the history into it.")
        value: Any = dict(question)
    else:
        value = chain_input(runnable, Question(to_messages(question, history), context))
    fast = await _fast(runnable, value)
    if fast is not None:
        return Job(runnable, value, settings, str(fast.body["model"]), fast, ())
    return Job(runnable, value, settings, model_name(runnable), None, sync_parts(runnable))


def as_runnable(chain: object) -> Runnable[Any, Any]:
    """A chain as a Runnable: a Runnable itself, a function, or a generator function over the input."""
    try:
        runnable: Runnable[Any, Any] = coerce_to_runnable(cast("Any", chain))
    except TypeError:
        raise InvalidRequest(f"A chain is a LangChain Runnable or a function, got {type(chain).__name__}.") from None
    return runnable


async def generate(job: Job, sink: Sink) -> LlmstreamError | None:
    """Answer the question: every event but `started` goes to `sink`, the last one is terminal.

    Never raises but for cancellation, which leaves the terminal event to whoever cancelled. Returns the error that an
    answer failed with, the original exception as its cause.
    """
    emitter = Emitter(sink, job.settings)
    waiting = asyncio.get_running_loop().call_later(WAITING_AFTER_S, _tell_waiting, job, emitter)
    try:
        async with asyncio.timeout(job.settings.max_run_s) as limit:
            await (_read_fast(job.fast, emitter) if job.fast else _run_chain(job, emitter))
    except TimeoutError as error:
        if limit.expired():
            emitter.fail(LimitExceeded(f"The answer took more than {job.settings.max_run_s:g} s and was cut."))
        else:
            emitter.fail(_chain_failed(error))
    except LlmstreamError as error:
        emitter.fail(error)
    except Exception as error:
        emitter.fail(_chain_failed(error))
    finally:
        waiting.cancel()
    return emitter.error


async def _read_fast(fast: Fast, emitter: Emitter) -> None:
    def receive(chunks: list[Chunk]) -> None:
        emitter.chunks(chunks, thinking=fast.thinking)
        emitter.check()
        if chunks[-1].done:
            emitter.finish_ollama(cast("LastChunk", chunks[-1]))

    await fast.ollama.chat(fast.body, receive, notify=emitter.status)


async def _run_chain(job: Job, emitter: Emitter) -> None:
    graph = is_graph(job.chain)
    watcher = Watcher(emitter, graph=graph)
    outputs = Outputs(emitter, watcher, cumulative=is_cumulative(job.chain))
    notify_status.set(watcher.status)
    put: Callable[[Any], None] = outputs.put_graph if graph else outputs.put
    stall = StallGuard(watcher, job.settings)
    try:
        async with aclosing(_items(job, watcher, graph=graph)) as items:
            async for item in items:
                put(item)
                emitter.check()
        outputs.end()
        emitter.check()
    except BaseException as error:
        end_leftovers(watcher, error)
        if isinstance(error, asyncio.CancelledError):
            stall.raise_if_expired()
            if not _is_cancelled():  # the chain waited for something that was cancelled
                raise _chain_failed(error) from error
        elif isinstance(error, Exception) and (ours := translate(error, from_model=watcher.model_failed)) is not None:
            raise ours from error
        raise
    finally:
        stall.stop()
    if watcher.truncated:
        raise UpstreamTruncated("The answer broke off: the model's stream ended without saying that it was complete.")
    if watcher.reason in ("load", "unload"):
        raise UpstreamEmpty("Ollama loaded or unloaded the model instead of answering. Ask again.")
    emitter.finish(watcher.reason, watcher.usage, load_s=watcher.load_s)


def _items(job: Job, watcher: Watcher, *, graph: bool) -> AsyncGenerator[Any, None]:
    config: Any = {"callbacks": [watcher]}
    extra: Any = {"stream_mode": ["messages", "custom", "updates"], "subgraphs": True} if graph else {}
    if is_sync_only(job.chain):
        return _in_thread(lambda: iter(job.chain.stream(job.chain_input, config, **extra)))
    return job.chain.astream(job.chain_input, config, **extra)  # type: ignore[return-value]


async def _in_thread(make: Callable[[], Any]) -> AsyncGenerator[Any, None]:
    """The items of a sync iterator, made in a thread one at a time, so that a slow one delays nobody else."""
    iterator = await asyncio.to_thread(make)
    nothing = object()
    try:
        while (item := await asyncio.to_thread(next, iterator, nothing)) is not nothing:
            yield item
    finally:
        if (close := getattr(iterator, "close", None)) is not None:
            try:
                close()
            except ValueError:  # it still runs in its thread; what it yields is not asked for any more
                logger.debug("a sync chain was left while it was running")


async def _fast(chain: Runnable[Any, Any], value: Any) -> Fast | None:
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


def _tell_waiting(job: Job, emitter: Emitter) -> None:
    if emitter.silent and not emitter.ended:
        task = asyncio.ensure_future(_why_waiting(job, emitter))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)


_tasks: set[asyncio.Future[None]] = set()


async def _why_waiting(job: Job, emitter: Emitter) -> None:
    """Tell whether the model is being loaded, or Ollama is busy with something else."""
    status = Status("waiting", "Waiting for the model: it reads the prompt, or serves another request first.")
    if job.fast is not None:
        try:
            if not await job.fast.ollama.loaded(job.model):
                status = Status("loading", f"Loading {job.model} into memory.")
        except LlmstreamError:
            pass  # the request itself will tell what is wrong
    if emitter.silent:
        emitter.status(status)


def _is_cancelled() -> bool:
    """Whether somebody cancelled the task that runs."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _chain_failed(error: BaseException) -> ChainFailed:
    """The error for an exception of the chain's own: its text goes to the log, under an id, and to nobody else."""
    incident = secrets.token_hex(4)
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else "?"
    logger.error("chain failed [%s] %s at %s: %.500r", incident, type(error).__name__, where, str(error))
    logger.debug("chain failed [%s]", incident, exc_info=error)
    failure = ChainFailed(f"The chain failed. The server's log says why, under {incident}.")
    failure.__cause__ = error
    return failure


class Arguments(TypedDict, total=False):
    """What the generators take beside the question, all optional.

    chain: any LangChain Runnable, or a function; None is the default chain.
    context: text to answer from, for a chain whose prompt has {context}, as the default one can.
    history: earlier messages.
    settings: None reads the environment.
    model, thinking, options: for the default chain, over the settings; options by Ollama's names.
    tools: for the default chain, what its model may call, each as `{"type": "function", "function": {…}}`.
    format: for the default chain, "json" or the JSON schema that its answer must have.
    """

    chain: object
    context: str | None
    history: Sequence[Any]
    settings: Settings | None
    model: str | None
    thinking: Thinking | None
    options: Mapping[str, Any] | None
    tools: Sequence[Mapping[str, Any]]
    format: str | Mapping[str, Any] | None


async def astream(question: Input, **arguments: Unpack[Arguments]) -> AsyncGenerator[str, None]:
    """The answer, piece by piece as the model makes it; the pieces joined are the answer.

    question: text, messages (LangChain's, or dicts with role and content), or a dict that is the chain's own input.
    Raises `LlmstreamError` where the answer can't begin, and where it breaks off: an iteration that ends without an
    error is a complete answer. Close the generator to stop the model.
    """
    failure: list[LlmstreamError] = []
    async with aclosing(_event_lists(question, arguments, failure)) as lists:
        async for events in lists:
            for event in events:
                if type(event) is Token:
                    yield event.text
    if failure:
        raise failure[0]


async def astream_events(question: Input, **arguments: Unpack[Arguments]) -> AsyncGenerator[Event, None]:
    """The events of an answer; the last one is terminal, whatever happens. Arguments as for `astream`."""
    async with aclosing(_event_lists(question, arguments, [])) as lists:
        async for events in lists:
            for event in events:
                yield event


def stream(question: Input, **arguments: Unpack[Arguments]) -> Generator[str, None, None]:
    """`astream` for code that is not async, also inside a running event loop; closing it stops the model."""
    yield from background.iterate(lambda: astream(question, **arguments))


def stream_events(question: Input, **arguments: Unpack[Arguments]) -> Generator[Event, None, None]:
    """`astream_events` for code that is not async, also inside a running event loop."""
    yield from background.iterate(lambda: astream_events(question, **arguments))


async def _event_lists(
    question: Input, arguments: Arguments, failure: list[LlmstreamError]
) -> AsyncGenerator[list[Event], None]:
    """All events of an answer, in lists of those that came together; the error it ends with goes into `failure`."""
    try:
        job = await prepare(question, **arguments)
    except LlmstreamError as error:
        failure.append(error)
        yield [failed(error)]
        return

    async def answer(sink: Sink) -> None:
        sink([job.started()])
        if (error := await generate(job, sink)) is not None:
            failure.append(error)

    async with aclosing(pulled(answer)) as lists:
        async for events in lists:
            yield events
