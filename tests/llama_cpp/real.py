"""A real llama-server of llama.cpp, and that of llama-cpp-python: `make llama-cpp` builds them and runs this."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import llmstream
from llmstream.errors import InvalidRequest
from llmstream.events import Token
from llmstream.openai.upstream_from_settings import upstream_of
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from tests.data.recordings.record import SKY, SUM, WEATHER, WEATHER_QUESTION
from tests.support.answering import events_of, outline
from tests.support.command import run
from tests.support.faultkit import eventually
from tests.support.lacking import lacking
from tests.support.llama_cpp import LlamaCpp, find_llama_cpp

SKY_ANSWER = ("token", "The sky is blue because air scatters blue light more than red light.")
STOP, CALLS = ("finished", "stop"), ("finished", "tool_calls")
PARIS, ROME = (("tool_call", "get_weather", {"city": city}) for city in ("Paris", "Rome"))
STORY = "Tell me a very long story."
STORY_END = "the light has never gone out."
KEY = "right"
Start = Callable[..., LlamaCpp]
BOTH = pytest.mark.parametrize("python", [False, True], ids=["llama.cpp", "llama-cpp-python"])


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Starts servers, each once for these arguments."""
    found = find_llama_cpp()
    if found is None:
        lacking("llama.cpp", "make llama-cpp, which builds it in ten minutes")
    assert found is not None
    started: dict[object, LlamaCpp] = {}
    with ExitStack() as stack:

        def begin(*arguments: str, python: bool = False, own: bool = False) -> LlamaCpp:
            key = object() if own else (arguments, python)
            if key not in started:
                started[key] = stack.enter_context(LlamaCpp(found, *arguments, python=python))
            return started[key]

        yield begin


def of(server: LlamaCpp, **changes: Any) -> Settings:
    """Settings that point to a server and make its answers exact."""
    return Settings(upstream=server.url, temperature=0, demo="never", first_token_timeout_s=30).change(**changes)


@BOTH
async def test_answer(start: Start, python: bool) -> None:
    """The answer is exact, with /v1 in the address and without."""
    server = start(python=python)
    for address in (server.url, server.root):
        assert [SKY_ANSWER, STOP] == outline(await events_of(SKY, settings=of(server, upstream=address)))


@BOTH
async def test_models(start: Start, python: bool) -> None:
    """The model is told, of llama.cpp's own server also its context, its size and what it can do."""
    upstream = await upstream_of(of(start(python=python)))
    (model,) = await upstream.models()
    able = frozenset() if python else {"completion", "tools", "thinking"}
    assert ("tiny-chat", able) == (model.name, await upstream.capabilities(model.name))
    assert ((None, None) if python else (2048, 2101760)) == (model.context_length, model.size)


async def test_thinking_and_tools(start: Start) -> None:
    """Thinking is told apart, calls are whole, and a result of one is understood."""
    settings = of(start())
    thought = outline(await events_of(SUM, settings=settings, thinking=True))
    assert ["reasoning", "token", "finished"] == [row[0] for row in thought]
    assert ("token", "7 times 8 is 56.") == thought[1]
    asked = [WEATHER_QUESTION, "What is the weather in Paris and in Rome?", "Please check the weather in Paris."]
    one, two, with_text = [outline(await events_of(each, settings=settings, tools=[WEATHER])) for each in asked]
    assert [PARIS, CALLS] == one
    assert [PARIS, ROME, CALLS] == two
    assert [("token", "I will check the weather in Paris."), PARIS, CALLS] == with_text


@BOTH
async def test_tool_result(start: Start, python: bool) -> None:
    """A conversation with a call and its result is taken by both."""
    call = {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
    messages = [
        {"role": "user", "content": WEATHER_QUESTION},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "18 degrees and sunny"},
    ]
    found = outline(await events_of(messages, settings=of(start(python=python)), tools=[WEATHER]))
    assert ["token", "finished"] == [row[0] for row in found]
    assert "18 degrees and sunny" in str(found[0][1])


@BOTH
async def test_format(start: Start, python: bool) -> None:
    """An answer of a given form has it, whichever way the server is asked for that."""
    schema = {"type": "object", "properties": {"count": {"type": "integer", "maximum": 9}}, "required": ["count"]}
    asked = events_of("Give me some JSON.", settings=of(start(python=python)), format=schema)
    told, end = outline(await asked)
    assert ["count"] == list(json.loads(str(told[1])))
    assert STOP == end


@BOTH
async def test_limits(start: Start, python: bool) -> None:
    """An answer that is cut by a limit says so; a prompt that is too long is told, and never cut silently."""
    settings = of(start(python=python))
    assert ("finished", "length") == outline(await events_of(STORY, settings=settings, options={"num_predict": 5}))[-1]
    failed: Any = (await events_of("word " * 3000, settings=settings))[-1]
    assert ("upstream_truncated" if python else "upstream_error") == failed.code
    assert ("a prompt that is too long" if python else "context of 2048 tokens") in failed.message


async def test_several_at_once(start: Start) -> None:
    """Two are answered at once, and the models are told meanwhile."""
    settings = of(start())
    stories = [asyncio.create_task(events_of(STORY, settings=settings)) for _ in range(2)]
    assert 1 == len(await (await upstream_of(settings)).models())
    for events in await asyncio.gather(*stories):
        told, end = outline(events)
        assert str(told[1]).endswith(STORY_END)
        assert STOP == end


@pytest.mark.parametrize("interrupts", [True, False])
async def test_llama_cpp_python_gives_up_answers(start: Start, interrupts: bool) -> None:
    """It gives up an answer when somebody else asks, and that is told; with --interrupt_requests false it does not."""
    settings = of(start(*(() if interrupts else ("--interrupt_requests", "false")), python=True))
    rest, begun = await begun_story(settings)
    second = await events_of(SKY, settings=settings)
    told = [*begun, *[event async for event in rest]]
    assert [SKY_ANSWER, STOP] == outline(second)
    end = outline(told)[-1]
    assert (("failed", "upstream_truncated", True) if interrupts else STOP) == end


async def begun_story(settings: Settings) -> tuple[Any, list[Any]]:
    """A long answer from its first token on, and the events before."""
    events, begun = llmstream.astream_events(STORY, settings=settings), []
    async for event in events:
        begun.append(event)
        if isinstance(event, Token):
            break
    return events, begun


async def test_stop_ends_the_work(start: Start) -> None:
    """An answer that is left in the middle is not computed any further."""
    server = start(own=True)
    events, _ = await begun_story(of(server))
    await events.aclose()
    assert await asyncio.to_thread(eventually, lambda: any("cancel task" in line for line in server.log))


async def test_cut_answer_goes_on(start: Start) -> None:
    """llama.cpp's own server goes on behind what was said; that of llama-cpp-python can't, and it is said so."""
    counted = "1, 2, 3, 4"
    for python in (False, True):
        runs = Runs(of(start(python=python)))
        cut = await runs.start("Count to 20.", options={"num_predict": 5})
        assert ("token", "1, 2,") == outline([event async for event in cut.follow()])[0]
        if python:
            with pytest.raises(InvalidRequest, match="Ask again"):
                await cut.continue_()
        else:
            more = await cut.continue_()
            assert ("token", counted) == outline([event async for event in more.follow()])[0]


@BOTH
async def test_key(start: Start, python: bool) -> None:
    """The right key opens the server; a wrong one, or none, is told as such, with /v1 in the address and without."""
    server = start("--api_key" if python else "--api-key", KEY, python=python)
    assert STOP == outline(await events_of(SKY, settings=of(server, upstream_key=KEY)))[-1]
    for address in (server.url, server.root):
        for key in ("wrong", None):
            failed: Any = (await events_of(SKY, settings=of(server, upstream=address, upstream_key=key)))[-1]
            assert "LLMSTREAM_UPSTREAM_KEY" in failed.message


@BOTH
async def test_server_that_is_killed(start: Start, python: bool) -> None:
    """An answer whose server dies is told as broken off, and the next one that nobody is there."""
    server = start(python=python, own=True)
    settings = of(server)
    events, begun = await begun_story(settings)
    server.kill()
    told = [*begun, *[event async for event in events]]
    assert ("failed", "upstream_truncated", True) == outline(told)[-1]
    gone: Any = (await events_of(SKY, settings=settings))[-1]
    assert "upstream_unreachable" == gone.code


@BOTH
def test_commands(start: Start, python: bool) -> None:
    """`doctor`, `models` and `ask` work with both."""
    server = start(python=python)
    commands = (["doctor"], ["models"], ["ask", SKY])
    told = [run(*each, ollama="http://127.0.0.1:9", LLMSTREAM_UPSTREAM=server.url).stdout for each in commands]
    assert "model tiny-chat answers: a token in" in told[0]
    assert f"({'llama-cpp-python' if python else 'llama.cpp'})" in told[0]
    assert "tiny-chat" in told[1]
    assert "The sky is blue" in told[2]
