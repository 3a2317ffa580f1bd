"""The public generators: an answer as text or as events, async or not."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from typing import Unpack

from llmstream import concurrency
from llmstream.concurrency import pulled
from llmstream.core.answer.emitter import Sink
from llmstream.core.generator import generate, make_job
from llmstream.core.question.arguments import check_names, check_values
from llmstream.core.question.inputs import Arguments, Input
from llmstream.errors import LlmstreamError
from llmstream.errors.own_frames import shortened
from llmstream.events import Event, Reasoning, Token, failed
from llmstream.view.answer import OneText


def astream(question: Input, **arguments: Unpack[Arguments]) -> AsyncGenerator[str, None]:
    """The answer, piece by piece as the model makes it; the pieces joined are the answer.

    question: text, messages (LangChain's, or dicts with role and content), or a dict that is the chain's own input.
    Raises `LlmstreamError` where the answer can't begin, and where it breaks off: an iteration that ends without an
    error is a complete answer. Close the generator to stop the model.
    """
    check_names("astream", arguments)
    return _texts(question, arguments)


async def _texts(question: Input, arguments: Arguments) -> AsyncGenerator[str, None]:
    failure: list[LlmstreamError] = []
    one_text = OneText()
    async with aclosing(_event_lists(question, arguments, failure)) as lists:
        async for events in lists:
            for event in events:
                if type(event) is Token:
                    yield one_text.text_of(event)
                elif type(event) is not Reasoning and (rest := one_text.rare(event)):
                    yield rest
    if failure:
        raise shortened(failure[0])


def astream_events(question: Input, **arguments: Unpack[Arguments]) -> AsyncGenerator[Event, None]:
    """The events of an answer; the last one is terminal, whatever happens. Arguments as for `astream`."""
    check_names("astream_events", arguments)
    return _events(question, arguments)


async def _events(question: Input, arguments: Arguments) -> AsyncGenerator[Event, None]:
    async with aclosing(_event_lists(question, arguments, [])) as lists:
        async for events in lists:
            for event in events:
                yield event


def stream(question: Input, **arguments: Unpack[Arguments]) -> Generator[str, None, None]:
    """`astream` for code that is not async, also inside a running event loop; closing it stops the model."""
    check_names("stream", arguments)
    return concurrency.iterate(lambda: _texts(question, arguments))


def stream_events(question: Input, **arguments: Unpack[Arguments]) -> Generator[Event, None, None]:
    """`astream_events` for code that is not async, also inside a running event loop."""
    check_names("stream_events", arguments)
    return concurrency.iterate(lambda: _events(question, arguments))


_LIST = (Arguments.__doc__ or "").partition("\n")[2].partition("demanded:")[0].strip()
for _function in (astream, astream_events, stream, stream_events):  # of which `help` shows no more than **arguments
    _function.__doc__ = f"{_function.__doc__}\n    {_LIST}\n"


async def _event_lists(
    question: Input, arguments: Arguments, failure: list[LlmstreamError]
) -> AsyncGenerator[list[Event], None]:
    """All events of an answer, in lists of those that came together; the error it ends with goes into `failure`."""
    try:
        check_values(arguments)
        job = await make_job(question, **arguments)
    except LlmstreamError as error:
        failure.append(error)
        yield [failed(error)]
        return

    async def answer(sink: Sink) -> None:
        sink(job.beginning())
        if (error := await generate(job, sink)) is not None:
            failure.append(error)

    async with aclosing(pulled(answer)) as lists:
        async for events in lists:
            yield events
