"""The wait for a first token: foretold from earlier answers, told exactly where the server tells it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import llmstream
from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scripted_answers import Pause
from llmstream.events import Event, Status, Token
from llmstream.ollama.chunks import LastChunk
from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.forecast import Forecasts, Prompt, about, progress_of, prompt_of
from llmstream.ollama.models import Ollama
from llmstream.ollama.waiting import Waiting
from tests.support.answering import listened_to, raw_server
from tests.support.reading import read, response, sending

URL, MODEL = "http://gpu:11434", "m"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def said(*texts: str) -> dict[str, Any]:
    """A request with these messages, of a person and a model in turns."""
    roles = ("user", "assistant")
    return {"model": MODEL, "messages": [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]}


def prompt(*texts: str) -> Prompt:
    """The prompt of such a request."""
    found = prompt_of(said(*texts))
    assert found is not None
    return found


def counted(tokens: int, read_s: float, load_s: float = 0.01) -> LastChunk:
    """The last line of an answer with these counters."""
    return LastChunk(
        done=True,
        done_reason="stop",
        prompt_eval_count=tokens,
        prompt_eval_duration=read_s * 1e9,
        load_duration=load_s * 1e9,
    )


def learned(clock: Clock, *sizes: int) -> Forecasts:
    """What is known after answers to prompts of these sizes, of a model with 4 bytes and 10 ms a token."""
    forecasts = Forecasts(clock=clock)
    for number, size in enumerate(sizes):
        forecasts.learn(URL, MODEL, prompt(f"{number}" * size), counted(size // 4, size / 400))
    return forecasts


async def is_loaded(model: str) -> bool:
    """True for any model."""
    return True


def test_size_decides() -> None:
    """A prompt ten times as long is expected to take ten times as long; of another model or host nothing is known."""
    clock = Clock()
    forecasts = learned(clock, 400, 2000, 800)
    for size in (400, 4000, 40_000):
        found = forecasts.of(URL, MODEL, prompt("x" * size))
        assert found is not None
        assert size // 4 == found.tokens
        assert pytest.approx(size / 400, rel=0.01) == found.read_s
    assert forecasts.of(URL, "other", prompt("x")) is None
    assert forecasts.of("http://other", MODEL, prompt("x")) is None


def test_one_answer_is_enough_to_guess() -> None:
    """After the first answer a prompt of another size is expected to be read at the same pace."""
    found = learned(Clock(), 40).of(URL, MODEL, prompt("x" * 4000))
    assert found is not None
    assert 1000 == found.tokens
    assert pytest.approx(10) == found.read_s


def test_long_prompts_are_read_more_slowly() -> None:
    """What each token costs more in a longer prompt is learned too."""
    forecasts = Forecasts()
    for letter, tokens in (("a", 100), ("b", 1500), ("c", 700)):
        forecasts.learn(URL, MODEL, prompt(letter * tokens * 4), counted(tokens, tokens * (1 + tokens / 500) / 100))
    found = forecasts.of(URL, MODEL, prompt("x" * 4000))
    assert found is not None
    assert pytest.approx(1000 * 3 / 100, rel=0.05) == found.read_s


def test_what_the_server_has_kept_takes_no_time() -> None:
    """The next question of a conversation has the messages before it read already; another one has not."""
    forecasts = learned(Clock(), 400, 2000)
    forecasts.learn(URL, MODEL, prompt("a" * 4000), counted(1000, 10))
    follows, other = prompt("a" * 4000, "b" * 400, "c" * 400), prompt("d" * 4000, "b" * 400, "c" * 400)
    expected = [forecasts.of(URL, MODEL, each) for each in (follows, other)]
    assert [1, 12] == [round(each.read_s) for each in expected if each]
    assert [1200, 1200] == [each.tokens for each in expected if each]


def test_a_cache_of_somebody_else_misleads_little() -> None:
    """Of some prompts the server had more than was known: their counts are whole, and their times are short."""
    forecasts = learned(Clock(), 400, 2000, 800, 1200, 3000)
    for number in range(4):
        forecasts.learn(URL, MODEL, prompt(f"kept {number}" * 300), counted(525, 0.01))
    found = forecasts.of(URL, MODEL, prompt("x" * 2000))
    assert found is not None
    assert pytest.approx(5, rel=0.3) == found.read_s


@pytest.mark.parametrize(("age_s", "loaded", "load_s"), [(1, True, 0.01), (301, True, 20), (1, False, 20)])
def test_loading_counts_where_it_is_to_come(age_s: float, loaded: bool, load_s: float) -> None:
    """A model that is not in memory, or that nobody has asked for longer than Ollama keeps it, is loaded first."""
    clock = Clock()
    forecasts = Forecasts(clock=clock)
    forecasts.learn(URL, MODEL, prompt("a" * 400), counted(100, 1, load_s=20))
    for text in "bcd":
        forecasts.learn(URL, MODEL, prompt(text * 400), counted(100, 1))
    clock.now += age_s
    found = forecasts.of(URL, MODEL, prompt("x" * 400), loaded=loaded)
    assert found is not None
    assert pytest.approx(load_s) == found.load_s
    assert pytest.approx(1) == found.read_s


def test_memory_is_bounded() -> None:
    """Of many models only the last ones are known."""
    forecasts = Forecasts()
    for number in range(1000):
        forecasts.learn(URL, f"m{number}", prompt("a" * 400), counted(100, 1))
    assert [False, True] == [forecasts.of(URL, f"m{number}", prompt("b")) is not None for number in (0, 999)]


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "a", "images": ["aaaa"]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]},
        {"prompt": "a", "images": ["aaaa"]},
    ],
)
def test_images_are_not_foretold(body: dict[str, Any]) -> None:
    """No text tells how many tokens an image is."""
    assert prompt_of(body) is None


def test_an_answer_about_an_image_tells_what_the_server_keeps() -> None:
    """Behind it the model is loaded, and what it had read before is not kept: that is foretold again."""
    clock = Clock()
    forecasts = learned(clock, 400)
    told = [forecasts.of(URL, MODEL, prompt("0" * 400, "a", "b"))]
    clock.now += 200
    forecasts.learn(URL, MODEL, None, counted(900, 3))
    clock.now += 200
    told.append(forecasts.of(URL, MODEL, prompt("0" * 400, "a", "b")))
    assert [(True, True), (False, True)] == [(each.read_s < 0.1, each.load_s < 0.1) for each in told if each]


def test_prompts_of_each_api() -> None:
    """The size is that of all that is read, in bytes of UTF-8: messages, a system prompt, half an emoji."""
    parts = [{"type": "text", "text": "ä€"}]
    bodies: list[dict[str, Any]] = [
        {"prompt": "abc", "system": "de"},
        {"messages": [{"role": "user", "content": "abcde"}]},
        said("a\ud800", "b"),
        {"messages": [{"role": "user", "content": parts}]},
    ]
    found = [prompt_of(body) for body in bodies]
    assert [5, 5, 5] == [each.size for each in found[:3] if each]
    assert found[3] is not None
    assert found[3].size > 5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "about 1 s"), (12.4, "about 12 s"), (43, "about 45 s"), (89, "about 90 s"), (200, "about 3 min")],
)
def test_times_are_told_as_guesses(seconds: float, text: str) -> None:
    """No more digits than are known."""
    assert text == about(seconds)


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


def test_progress_is_never_all() -> None:
    """The bar of a wait that is not over is not full."""
    assert [0.5, 0.95, 0.95] == [progress_of(5, 5), progress_of(100, 0.1), progress_of(5, -1)]


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
