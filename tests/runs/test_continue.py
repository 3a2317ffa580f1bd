"""An answer that was cut goes on: a new run begins with what was said, and the model says the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama import DemoOllama, Pause, Thought
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.errors import InvalidRequest, KeyConflict, RunNotFound, StillRunning
from llmstream.events import Continued, Failed, Finished, Reasoning, Started, Token
from llmstream.runs.end_hook import EndedRun
from llmstream.runs.manager import Runs
from llmstream.runs.redis.log import RedisLog
from llmstream.settings import Settings
from tests.support.continued import COUNT, cut, followed, texts
from tests.support.faultkit import eventually
from tests.support.serving import answer

TOOL = {"type": "function", "function": {"name": "f", "description": "", "parameters": {"type": "object"}}}


def asked(upstream: DemoOllama) -> list[dict[str, Any]]:
    """The messages that the model was asked with last."""
    messages: list[dict[str, Any]] = upstream.requests[-1].body["messages"]
    return messages


@pytest.mark.parametrize(
    ("model", "before"),
    [
        ("demo:cut", "The sky is blue because"),
        ("demo:cut-once", "The"),
        ("demo:length", "The sky is blue because"),
    ],
)
async def test_a_cut_answer_goes_on(upstream: DemoOllama, settings: Settings, model: str, before: str) -> None:
    """The kept text comes first, with its seam, and the model is asked with it as the beginning of its answer."""
    run = await cut(Runs(settings), model=model)
    goes_on = await run.continue_()
    events = await followed(goes_on)
    text, rest = texts(events)

    assert goes_on.id != run.id
    assert (before, True) == (text, SENTENCE.startswith(text + rest))
    assert rest
    assert [Started, Token, Continued] == [type(event) for event in events[:3]]
    assert Continued(run.id) == events[2]
    assert [("user", "q"), ("assistant", before)] == [(each["role"], each["content"]) for each in asked(upstream)]
    assert text + rest == (await goes_on.snapshot()).text


async def test_a_stopped_answer_goes_on(upstream: DemoOllama, settings: Settings) -> None:
    """Stopped in the middle, it is whole in the end, whoever has stopped it; the usage is that of the new part."""
    upstream.answers["q"] = lambda request: COUNT if request.begun else [COUNT[:8], Pause(600), COUNT[8:]]
    run = await Runs(settings).start("q")
    said = ""
    async for event in run.follow():
        said += answer([event])
        if said == COUNT[:8]:
            await run.stop()
    events = await followed(await run.continue_())
    last = events[-1]

    assert (COUNT[:8], COUNT[8:]) == texts(events)
    assert isinstance(last, Finished)
    # The kept text is one event, and the model counts the end of its text as a token.
    assert last.usage.output_tokens == sum(isinstance(event, Token) for event in events)


async def test_it_can_be_continued_again(upstream: DemoOllama, settings: Settings) -> None:
    """A continued answer that is cut as well goes on from all of its text, as one message; each seam stays."""
    run = await cut(Runs(settings), model="demo:length")
    second = await run.continue_()
    await followed(second)
    third = await second.continue_()
    events = await followed(third)

    assert [run.id, second.id] == [event.of for event in events if isinstance(event, Continued)]
    assert SENTENCE.startswith(answer(events))
    assert [("user", "q"), ("assistant", texts(events)[0])] == [
        (each["role"], each["content"]) for each in asked(upstream)
    ]


async def test_what_a_client_has_begun_stays_one_message(upstream: DemoOllama, settings: Settings) -> None:
    """Ollama refuses two answers in a row."""
    upstream.answers["q"] = COUNT
    history = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "One,"}]
    run = await cut(Runs(settings), history, options={"num_predict": 2})
    events = await followed(await run.continue_())

    assert " two," == texts(events)[0]
    assert [("user", "q"), ("assistant", "One, two,")] == [(each["role"], each["content"]) for each in asked(upstream)]


async def test_thinking_is_kept_and_not_done_again(upstream: DemoOllama, settings: Settings) -> None:
    """The thoughts stand before the text; the model is told not to think, since it can't go on with both."""
    upstream.answers["q"] = [Thought("Let me count."), COUNT]
    run = await cut(Runs(settings), model="demo-thinking", thinking=True, options={"num_predict": 6})
    events = await followed(await run.continue_())

    assert "Let me count." == "".join(event.text for event in events if isinstance(event, Reasoning))
    assert COUNT.startswith(answer(events))
    assert upstream.requests[-1].body["think"] is False


async def test_a_chain_that_ends_in_our_model(upstream: DemoOllama, settings: Settings) -> None:
    """The steps before the model are not run again: it goes on from the same prompt."""
    runs_of_steps = []

    def look_up(question: str) -> str:
        runs_of_steps.append(question)
        return "a page"

    steps = {"context": RunnableLambda(look_up), "question": RunnablePassthrough()}
    prompt = ChatPromptTemplate([("system", "{context}"), ("user", "{question}")])
    model = StrictChatOllama(model="demo:length", base_url=upstream.url)
    run = await cut(Runs(settings), chain=steps | prompt | model | StrOutputParser())
    await followed(await run.continue_())

    assert ["q"] == runs_of_steps
    assert ["a page", "q", "The sky is blue because"] == [each["content"] for each in asked(upstream)]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "is complete"),
        ({"model": "demo:tool-call", "tools": [TOOL]}, "ended with tool calls"),
        ({"model": "demo:error-first"}, "no text"),
        ({"model": "demo:thinking-only", "thinking": True, "options": {"num_predict": 1}}, "no text|is complete"),
        ({"options": {"num_predict": 2}, "format": "json"}, "given format"),
        ({"chain": FakeListChatModel(responses=["One two"], error_on_chunk_number=2)}, "This chain's answer"),
    ],
)
async def test_refusals(upstream: DemoOllama, settings: Settings, arguments: dict[str, Any], why: str) -> None:
    """Each with a sentence: what is complete, waits for a call, has no text, a form, or comes from somewhere else."""
    upstream.answers["q"] = COUNT
    run = await cut(Runs(settings), **arguments)

    with pytest.raises(InvalidRequest, match=why):
        await run.continue_()


async def test_one_that_goes_on(upstream: DemoOllama, settings: Settings) -> None:
    """A run that has not ended is told apart from one that can't be continued."""
    run = await Runs(settings).start("q", model="demo:stall-3")
    with pytest.raises(StillRunning):
        await run.continue_()
    await run.stop()


async def test_others_and_keys(settings: Settings) -> None:
    """Another caller's run is not found; a key starts one continuation, and is no other request's."""
    runs = Runs(settings)
    run = await cut(runs, model="demo:length", caller="ann")
    with pytest.raises(RunNotFound):
        await runs.continue_run(run.id, caller="bob")
    first, second = [await runs.continue_run(run.id, caller="ann", request_key="k") for _ in range(2)]
    with pytest.raises(KeyConflict):
        await runs.continue_run(first.id, caller="ann", request_key="k")
    await followed(first)

    assert first.id == second.id
    with pytest.raises(RunNotFound):
        await runs.get(first.id)


async def test_the_question_is_kept_only_where_it_may_be_needed(settings: Settings) -> None:
    """A complete answer leaves nothing behind; what a cut one leaves counts as the log's."""
    runs, prompt = Runs(settings, on_end=lambda ended: None), "x" * 50_000
    chain = FakeListChatModel(responses=["One two"], error_on_chunk_number=2)
    other = await cut(runs, prompt, chain=chain)
    whole, length = await cut(runs, prompt, model="demo:one-chunk"), await cut(runs, prompt, model="demo:length")
    log = runs.log.local
    # They are closed a moment after their last event.
    assert await asyncio.to_thread(eventually, lambda: log.asked(whole.id) is None and log.bytes > 100_000)
    assert getattr(log.asked(length.id), "question", None) == prompt
    assert getattr(log.asked(other.id), "question", "") is None  # which is not counted
    assert log.bytes < 110_000


async def test_on_end_is_told_of_the_whole(settings: Settings) -> None:
    """The hook is told the same question, and the whole text."""
    told: list[EndedRun] = []
    runs = Runs(settings, on_end=told.append)
    run = await cut(runs, "What?", model="demo:cut")
    await followed(await run.continue_())
    await runs.drain()

    assert ["What?", "What?"] == [each.question for each in told]
    assert told[1].text.startswith(told[0].text)
    assert isinstance(told[1].events[-1], Failed | Finished)


async def test_the_last_run_of_a_chat(process: Callable[[], RedisLog], settings: Settings) -> None:
    """The one that goes on with it takes its place and its note, for every process; an older one's does not."""
    here, there = Runs(settings, log=process()), Runs(settings, log=process())
    run = await cut(here, model="demo:length", chat="chat")
    await here.log.swap("", "chat", run.id, "note")
    second = await run.continue_()
    await followed(second)
    assert (second.id, "note") == await there.log.named("", "chat")

    await followed(await run.continue_())
    assert (second.id, "note") == await there.log.named("", "chat")
    third = await second.continue_()
    await followed(third)
    assert (third.id, "note") == await there.log.named("", "chat")
