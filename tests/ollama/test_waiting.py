"""The wait for a first token: told while it lasts, exactly where the server tells it."""

from __future__ import annotations

import asyncio

import pytest

import llmstream
from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scripted_answers import Pause
from llmstream.events import Event, Status, Token
from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.models import Ollama
from llmstream.ollama.waiting import Waiting
from tests.support.answering import listened_to, raw_server
from tests.support.forecasts import MODEL, URL, Clock, counted, learned, prompt, said
from tests.support.reading import read, response, sending


async def is_loaded(model: str) -> bool:
    """True for any model."""
    return True


async def test_the_wait_grows_shorter_and_never_seems_over() -> None:
    """It is told how much is left; where it takes longer, that it does, and no time."""
    clock = Clock()
    with Waiting(
        Endpoint(url=URL),
        said("x" * 4000),
        lambda status: None,
        is_loaded,
        forecasts=learned(clock, 400, 800),
        clock=clock,
    ) as waiting:
        assert waiting.status() is None
        clock.now += 3
        await waiting.look()
        told = []
        for _ in range(3):
            told.append(waiting.status())
            clock.now += 4
    first, second, last = told
    assert (
        Status(
            "waiting", "Reading the prompt, about 1,000 tokens: about 7 s left.", eta_s=7.0, progress=0.3, tokens=1000
        )
        == first
    )
    assert second is not None
    assert (3.0, 0.7) == (second.eta_s, second.progress)
    assert last is not None
    assert (None, 0.95) == (last.eta_s, last.progress)
    assert "it takes longer than the last times" in last.detail


async def test_loading_is_told_until_it_is_over() -> None:
    """As long as the server does not list the model, it is being loaded; from then on the prompt is read."""
    clock = Clock()
    forecasts = learned(clock, 400, 800)
    forecasts.learn(URL, MODEL, prompt("l" * 400), counted(100, 1, load_s=30))
    loaded: list[bool] = [False, True]

    async def look(model: str) -> bool:
        return loaded.pop(0)

    with Waiting(
        Endpoint(url=URL), said("x" * 4000), lambda status: None, look, forecasts=forecasts, clock=clock
    ) as waiting:
        clock.now += 5
        await waiting.look()
        loading = waiting.status()
        clock.now += 5
        await waiting.look()
        reading = waiting.status()
    assert loading is not None
    assert ("loading", 35.0) == (loading.state, loading.eta_s)
    assert reading is not None
    assert ("waiting", 10.0) == (reading.state, reading.eta_s)
    assert (loading.progress or 0) < (reading.progress or 0)


async def test_a_server_that_tells_how_far_it_is_is_believed() -> None:
    """The rest takes as long as the pace so far makes it, whatever earlier answers were like."""
    clock = Clock()
    with Waiting(
        Endpoint(url=URL), said("x" * 4000), lambda status: None, is_loaded, forecasts=learned(clock, 400), clock=clock
    ) as waiting:
        clock.now += 2
        waiting.read(100, 1100)
        clock.now += 10
        waiting.read(600, 1100)
        clock.now += 4
        status = waiting.status()
    assert status is not None
    assert "Reading the prompt, 1,100 tokens: about 6 s left." == status.detail
    assert (6.0, 1100) == (status.eta_s, status.tokens)


@pytest.mark.parametrize("path", ["chat", "generate"])
async def test_lines_that_tell_the_progress_are_no_answer(path: str) -> None:
    """Lines without a text before the answer, as Ollama may send them, begin nothing; those with one begin it."""
    begun = '{"message":{"role":"assistant","content":"%s"}' if path == "chat" else '{"response":"%s"'
    lines = [
        begun % "" + ',"done":false,"prompt_eval_completed":10,"prompt_eval_total":20}\n',
        begun % ""
        + ',"done":false,"prompt_eval_completed":20,"prompt_eval_total":20}\n'
        + begun % "a"
        + ',"done":false,"prompt_eval_completed":20,"prompt_eval_total":20}\n',
        begun % "" + ',"done":true,"done_reason":"stop"}\n',
    ]
    body = {"model": "m", "prompt": "a"} if path == "generate" else said("a")
    async with raw_server(sending(response("".join(lines).encode()))) as (url, _):
        chunks, error = await read(url, body=body)
    assert error is None
    assert ["a", ""] == [chunk.message.content for chunk in chunks if chunk.message]


@pytest.fixture
def chain(upstream: DemoOllama) -> StrictChatOllama:
    """A model whose waits are told from a twentieth of a second on."""
    upstream.answers["Quick?"] = "Yes."
    upstream.answers["Slow?"] = [Pause(0.2), "Yes."]
    upstream.answers["Slower?"] = [Pause(1.0), "Yes."]
    return StrictChatOllama(model="demo").through(Ollama(Endpoint(url=upstream.url, tell_after_s=0.05)))


async def events_of(question: str, chain: object) -> list[Event]:
    """The events of an answer."""
    return [event async for event in llmstream.astream_events(question, chain=chain)]


@pytest.mark.parametrize("by_langchain", [False, True])
async def test_the_wait_is_an_event(chain: StrictChatOllama, by_langchain: bool) -> None:
    """From the second answer on it is told while nothing comes, and not after the first token."""
    asked = listened_to(chain) if by_langchain else chain
    before, events = [await events_of(question, asked) for question in ("Slow?", "Slower?")]
    assert not any(isinstance(event, Status) for event in before)
    status = events[1]
    assert isinstance(status, Status)
    assert status.state == "waiting"
    assert status.tokens
    assert 0 < (status.progress or 0) <= 0.95
    begun = next(number for number, event in enumerate(events) if isinstance(event, Token))
    assert not any(isinstance(event, Status) for event in events[begun:])


async def test_what_comes_soon_is_not_foretold(chain: StrictChatOllama) -> None:
    """An answer that is quick has the events that it always had, and learning from it costs none."""
    for _ in range(3):
        events = await events_of("Quick?", chain)
        assert ["Started", "Token", "Token", "Finished"] == [type(event).__name__ for event in events]


async def test_a_wait_that_is_left_tells_nothing_more(chain: StrictChatOllama) -> None:
    """Who leaves while the wait is told leaves no task behind that would go on telling."""
    await events_of("Slow?", chain)
    before, told = asyncio.all_tasks(), asyncio.Event()
    body = chain.body_of("Slower?", {})
    asking = asyncio.create_task(chain.upstream().chat(body, lambda chunks: None, notify=lambda status: told.set()))
    await told.wait()
    asking.cancel()
    await asyncio.wait([asking])
    await asyncio.sleep(0)
    assert before == asyncio.all_tasks()
