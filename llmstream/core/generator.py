"""The generator: (chain, question) → events.

`make_job` checks everything that can be refused before an answer begins; `generate` runs the chain and hands its events
to a sink, ending with exactly one terminal event.

A chain that `direct` can read is read straight from Ollama; every other one goes through `langchain_runner`.
The events are the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from langchain_core.runnables import Runnable
from langchain_core.runnables.base import coerce_to_runnable

from llmstream.chain import aopen_chain
from llmstream.chain.handlers import handlers_in
from llmstream.core.answer.demanded_call import DemandedCall
from llmstream.core.answer.emitter import Emitter, Sink
from llmstream.core.chains.chain_cache import ByChain
from llmstream.core.chains.generator_functions import generator_chain, returning_chain
from llmstream.core.chains.graph_steps import with_readable_graphs
from llmstream.core.chains.inspection import has_memory, model_name, sync_parts
from llmstream.core.chains.strict_models import strict_chain
from llmstream.core.direct import fast_way, read_fast
from llmstream.core.graphs.partial_memory import with_news_inside
from llmstream.core.graphs.thread_input import Thread
from llmstream.core.graphs.thread_owners import asking_graph, new_messages, thread_config
from llmstream.core.job import Job
from llmstream.core.langchain_runner import run_chain
from llmstream.core.question.images import check_images, with_images
from llmstream.core.question.inputs import Input, chain_input
from llmstream.core.question.question import Question, to_messages
from llmstream.core.running.guard import chain_failed
from llmstream.errors import (
    InvalidRequest,
    LimitExceeded,
    LlmstreamError,
)
from llmstream.errors.own_frames import raising_shortened
from llmstream.events import Status
from llmstream.settings import Settings, Thinking

# After how long without a sign from Ollama a person is told what it is waiting for.
WAITING_AFTER_S = 1.0


@raising_shortened
async def make_job(
    question: Input,
    *,
    chain: object = None,
    answer_nodes: Sequence[str] = (),
    thread: str | None = None,
    resume: Mapping[str, Any] | None = None,
    caller: str = "",
    inputs: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    context: str | None = None,
    history: Sequence[Any] = (),
    images: Sequence[Any] = (),
    settings: Settings | None = None,
    model: str | None = None,
    thinking: Thinking | None = None,
    options: Mapping[str, Any] | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
    format: str | Mapping[str, Any] | None = None,
    demanded: DemandedCall | None = None,
) -> Job:
    """A question, checked and bound to its chain; the arguments are those of `astream_events`.

    Raises `LlmstreamError`: everything that can be told before an answer begins.
    """
    settings = settings or Settings()
    if chain is None:
        if inputs or config:
            raise InvalidRequest("inputs and config belong to a chain of your own; the default chain has its settings.")
        runnable = await aopen_chain(
            settings,
            model=model,
            thinking=thinking,
            options=options,
            tools=tools,
            format=format,
            with_context=context is not None,
        )
    else:
        runnable = _own_chain(chain, model, thinking, options, tools, format)
    told = _merged(thread_config(runnable, thread, caller), config or {})
    said: Collection[str] | None = None
    if resume is not None:
        runnable, value, said = await _resumed(runnable, resume, told)
    else:
        value, told = await _input(
            runnable, question, told, settings, inputs=inputs or {}, context=context, history=history, images=images
        )
    fast = None if told or answer_nodes else await fast_way(runnable, value)
    model_said = fast.model if fast else model_name(runnable)
    parts = fast.sync_parts if fast else sync_parts(runnable)
    memory = has_memory(runnable)
    runnable = runnable if fast or handlers_in(told) else strict_chain(runnable)
    return Job(runnable, value, settings, model_said, fast, parts, told, tuple(answer_nodes), memory, demanded, said)


def _own_chain(chain: object, *for_default: object) -> Runnable[Any, Any]:
    """Somebody's own chain; raises `InvalidRequest` where arguments `for_default` were given, too."""
    if any(value is not None and value != () and value != {} for value in for_default):
        raise InvalidRequest(
            "model, thinking, options, tools and format belong to the default chain; this chain brings its own."
        )
    return _readable.get(as_runnable(chain))


# The chain as it is run: its graphs bound to the way in which they are read, its ways that remember to their news.
_readable = ByChain(lambda chain: with_readable_graphs(with_news_inside(chain)))


async def _resumed(
    chain: Runnable[Any, Any], answers: Mapping[str, Any], config: Mapping[str, Any]
) -> tuple[Runnable[Any, Any], Any, Collection[str]]:
    """The graph that goes on with a person's answers, what it is given, and the ids of what it has said before."""
    graph = await asking_graph(chain, answers, config)
    if graph is None:
        raise InvalidRequest("`resume` goes to a graph that keeps its threads (a checkpointer); this chain does not.")
    thread = Thread(graph, config)
    return graph, await thread.resumed(answers), await thread.said()


async def _input(
    chain: Runnable[Any, Any],
    question: Input,
    config: Mapping[str, Any],
    settings: Settings,
    *,
    inputs: Mapping[str, Any],
    context: str | None,
    history: Sequence[Any],
    images: Sequence[Any],
) -> tuple[Any, Mapping[str, Any]]:
    """The chain's input, and the config that tells LangChain of the run."""
    if isinstance(question, Mapping):
        if context is not None or history or inputs or images:
            raise InvalidRequest("A dict is the chain's whole input: put context, history, inputs and images into it.")
        return dict(question), config
    said = to_messages(question, history)
    said = with_images(said, images) if images else said
    await check_images(chain, said, settings)
    messages, place = await new_messages(chain, said, config)
    return chain_input(chain, Question(messages, context), inputs), _merged(config, place)


def _merged(config: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
    """Two configs of LangChain's as one, in which the other one's values stand."""
    if not (config and other):
        return config or other
    configurable = {**config.get("configurable", {}), **other.get("configurable", {})}
    return {**config, **other, "configurable": configurable}


def keeps_threads(chain: object) -> bool:
    """True if anything in a chain remembers by the name of a thread."""
    return bool(thread_config(_readable.get(as_runnable(chain)), None, ""))


def as_runnable(chain: object) -> Runnable[Any, Any]:
    """A chain as a Runnable: a Runnable itself, a function, or a generator function of the question or the messages."""
    if isinstance(chain, Runnable):
        return chain
    if (generator := generator_chain(chain)) is not None:
        return generator
    if callable(chain) and (returning := returning_chain(chain)) is not None:
        return returning
    try:
        runnable: Runnable[Any, Any] = coerce_to_runnable(cast("Any", chain))
    except TypeError:
        raise InvalidRequest(f"A chain is a LangChain Runnable or a function, got {type(chain).__name__}.") from None
    return runnable


async def generate(job: Job, sink: Sink) -> LlmstreamError | None:
    """Answers a job's question: every event but `started` goes to `sink`, the last one is terminal.

    Never raises but for cancellation, which leaves the terminal event to whoever cancelled. Returns the error that an
    answer failed with, the original exception as its cause.
    """
    emitter = Emitter(sink, job.settings, demanded=job.demanded)
    waiting = asyncio.get_running_loop().call_later(WAITING_AFTER_S, _tell_waiting, job, emitter)
    try:
        async with asyncio.timeout(job.settings.max_run_s) as limit:
            emitter.on_over = lambda: _end_now(limit)  # a chain's items may come long after what its models say
            await (read_fast(job, job.fast, emitter) if job.fast else run_chain(job, emitter))
    except TimeoutError as error:
        if limit.expired():
            took_long = LimitExceeded(f"The answer took more than {job.settings.max_run_s:g} s and was cut.")
            emitter.fail(emitter.over or took_long)
        else:
            emitter.fail(chain_failed(error))
    except LlmstreamError as error:
        emitter.fail(error)
    except Exception as error:
        emitter.fail(chain_failed(error))
    finally:
        waiting.cancel()
    return emitter.error


def _end_now(limit: asyncio.Timeout) -> None:
    if not limit.expired():
        limit.reschedule(asyncio.get_running_loop().time())


def _tell_waiting(job: Job, emitter: Emitter) -> None:
    if emitter.silent and not emitter.ended:
        task = asyncio.ensure_future(_why_waiting(job, emitter))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)


_tasks: set[asyncio.Future[None]] = set()


async def _why_waiting(job: Job, emitter: Emitter) -> None:
    """Emits a status while nothing comes: the model is being loaded, or Ollama is busy with something else."""
    status = Status("waiting", "Waiting for the model: it reads the prompt, or serves another request first.")
    if job.fast is not None:
        try:
            if not await job.fast.upstream.loaded(job.model):
                status = Status("loading", f"Loading {job.model} into memory.")
        except LlmstreamError:
            pass  # the request itself will tell what is wrong
    if emitter.silent:
        emitter.status(status)
