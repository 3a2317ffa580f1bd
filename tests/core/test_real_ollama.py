"""The generator against a real Ollama with a tiny model: exact answers, ends, refusals, kills and restarts."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.tools import tool

import llmstream
from llmstream.chain import StrictChatOllama
from llmstream.events import Event, Failed, Finished, Token
from llmstream.ollama.models import Ollama
from llmstream.settings import Settings
from tests.support.answering import PROMPT, events_of, listened_to, outline
from tests.support.real_ollama import RealOllama

SKY = "What color is the sky?"
SKY_ANSWER = "The sky is blue because air scatters blue light more than red light."
COUNT_100 = ", ".join(str(number) for number in range(1, 101)) + "."
STOP = ("finished", "stop")
WAYS = ("default", "parser")


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return "18 degrees and sunny"


async def ask(settings: Settings, question: Any, *, way: str = "default", **changes: Any) -> list[Event]:
    """An answer by the default chain, or by one that goes through LangChain."""
    if way == "default":
        return await events_of(question, settings=settings, **changes)
    options = changes.pop("options", {})
    chain = StrictChatOllama(
        model=changes.pop("model", None) or settings.model or "",
        base_url=settings.ollama_url,
        temperature=0,
        reasoning=changes.pop("thinking", False),
        **options,
    )
    return await events_of(question, settings=settings, chain=listened_to(chain | StrOutputParser()), **changes)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (SKY, SKY_ANSWER),
        ("Say hello in Japanese.", "こんにちは。お元気ですか。"),
        ("Say hello in Hindi.", "नमस्ते, आप कैसे हैं?"),
        ("Send me emoji.", "🙂 🚀 🌊 ✨ 🇫🇷 🇯🇵 👩‍🚀 👨‍👩‍👧 👍🏽 ❤️"),
        ("Draw a table.", "| item | count |\n| --- | --- |\n| apple | 7 |\n| mango | 3 |\n| fig | 12 |\n"),
        (
            "Show me some code.",
            "Here is a function:\n\n```python\ndef add(a, b):\n    return a + b\n```\n\nIt adds two numbers.",
        ),
        ("Show me some HTML.", 'Here is some HTML: <b>bold</b> <script>alert("x")</script> &amp; the end.'),
        ("Count to 100.", COUNT_100),
    ],
)
async def test_tokens_are_exact(real_settings: Settings, question: str, answer: str, way: str) -> None:
    """The tokens joined are the model's words, whatever the script, the newlines and the signs in them."""
    events = await ask(real_settings, question, way=way)

    assert [("token", answer), STOP] == outline(events)
    assert sum(isinstance(event, Token) for event in events) > 5


async def test_counts_and_times(real_settings: Settings) -> None:
    """The end tells how many tokens there were and how long it took."""
    last = (await ask(real_settings, SKY))[-1]

    assert isinstance(last, Finished)
    assert last.usage.input_tokens is not None
    assert last.usage.output_tokens is not None
    assert last.usage.output_tokens > 10
    assert last.timings.tokens_per_s is not None
    assert last.timings.tokens_per_s > 0


@pytest.mark.parametrize("way", WAYS)
async def test_length(real_settings: Settings, way: str) -> None:
    """An answer cut by `num_predict` says so."""
    events = await ask(real_settings, "Count to 100.", way=way, options={"num_predict": 6})

    assert ("finished", "length") == outline(events)[-1]
    assert COUNT_100.startswith(outline(events)[0][1])


@pytest.mark.parametrize("way", WAYS)
async def test_stop_word(real_settings: Settings, way: str) -> None:
    """An answer ends before a stop word."""
    events = await ask(real_settings, "Count to 20.", way=way, options={"stop": ["4"]})

    assert [("token", "1, 2, 3, "), STOP] == outline(events)


@pytest.mark.parametrize("way", WAYS)
async def test_thinking(real_settings: Settings, way: str) -> None:
    """Thoughts come before the answer, and only where they were asked for."""
    thought = "The user asks for 7 times 8. I know that 7 times 8 is 56. So the answer is 56."
    question, answer = "What is 7 times 8?", ("token", "7 times 8 is 56.")

    assert [("reasoning", thought), answer, STOP] == outline(await ask(real_settings, question, way=way, thinking=True))
    assert [answer, STOP] == outline(await ask(real_settings, question, way=way, thinking=False))


@pytest.mark.parametrize("parser", [False, True])
async def test_tool_call_and_its_result(real_settings: Settings, parser: bool) -> None:
    """A call comes whole, and its result is turned into an answer."""
    model = StrictChatOllama(model="tiny-chat", base_url=real_settings.ollama_url, temperature=0, reasoning=False)
    bound = model.bind_tools([get_weather])
    chain = bound | StrOutputParser() if parser else bound
    question = HumanMessage("What is the weather in Paris?")
    call = {"name": "get_weather", "args": {"city": "Paris"}, "id": "call_1"}
    result = ToolMessage(get_weather.invoke({"city": "Paris"}), tool_call_id="call_1")

    assert [("tool_call", "get_weather", {"city": "Paris"}), ("finished", "tool_calls")] == outline(
        await events_of([question], chain=chain, settings=real_settings)
    )
    assert [("token", "In Paris it is 18 degrees and sunny."), STOP] == outline(
        await events_of([question, AIMessage("", tool_calls=[call]), result], chain=chain, settings=real_settings)
    )


async def test_two_tool_calls_after_a_sentence(real_settings: Settings) -> None:
    """Several calls, and a call after text, come in their order."""
    model = StrictChatOllama(model="tiny-chat", base_url=real_settings.ollama_url, temperature=0, reasoning=False)
    chain = model.bind_tools([get_weather])
    two = outline(await events_of("What is the weather in Paris and in Rome?", chain=chain))
    text, call, end = outline(await events_of("Please check the weather in Paris.", chain=chain))

    assert [{"city": "Paris"}, {"city": "Rome"}] == [row[2] for row in two[:-1]]
    assert ("token", "tool_call", ("finished", "tool_calls")) == (text[0], call[0], end)


@pytest.mark.parametrize(
    ("way", "changes", "code"),
    [
        *[(way, {"model": "tiny-plain", "thinking": True}, "capability_missing") for way in WAYS],
        *[(way, {"model": "nope"}, "model_not_found") for way in WAYS],
        *[(way, {"model": "a b"}, "model_not_found" if way == "default" else "upstream_error") for way in WAYS],
        ("default", {"options": {"temperature": "hot"}}, "upstream_error"),
    ],
)
async def test_refusals(real_settings: Settings, way: str, changes: dict[str, Any], code: str) -> None:
    """What the model or Ollama can't do is refused with a code of its own."""
    last = (await ask(real_settings, SKY, way=way, **changes))[-1]

    assert isinstance(last, Failed)
    assert code == last.code
    assert (f"ollama pull {changes.get('model')}" in last.message) == (code == "model_not_found")


async def test_tools_and_images_are_refused(real_settings: Settings) -> None:
    """A model that can't call tools, or can't see, is not asked to: Ollama would ignore the image silently."""
    plain = StrictChatOllama(model="tiny-plain", base_url=real_settings.ollama_url).bind_tools([get_weather])
    image = {"type": "image_url", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    seen = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]}]

    assert [("failed", "capability_missing", False)] == outline(await events_of(SKY, chain=plain))
    assert [("failed", "capability_missing", False)] == outline(await ask(real_settings, seen))


@pytest.mark.parametrize("way", WAYS)
async def test_prompt_too_long(real_settings: Settings, way: str) -> None:
    """A prompt beyond the context is cut by Ollama, and the person is told before and after the answer."""
    question = "word " * 3000 + SKY
    events = await ask(real_settings, question, way=way, options={"num_ctx": 256, "num_predict": 3})
    last = events[-1]

    assert ("prompt_truncated",) == outline(events)[0]
    assert isinstance(last, Finished)
    assert last.prompt_truncated
    assert last.usage.input_tokens is not None
    assert last.usage.input_tokens <= 256


async def test_context_and_history(real_settings: Settings) -> None:
    """Earlier messages reach the model, and an unfinished one of its own is continued."""
    history = [{"role": "user", "content": SKY}, {"role": "assistant", "content": "The sky is"}]
    events = await ask(real_settings, history)

    assert [("token", " blue because air scatters blue light more than red light."), STOP] == outline(events)


async def test_model_is_chosen(real_settings: Settings) -> None:
    """Unset, the model that is loaded answers."""
    await ask(real_settings, SKY)
    started = (await ask(real_settings.change(model=None), SKY))[0]

    assert "tiny-chat:latest" == getattr(started, "model", None)


@pytest.mark.parametrize("parser", [False, True])
async def test_leaving_frees_the_model(own_real_ollama: RealOllama, parser: bool) -> None:
    """Whoever leaves makes Ollama stop an answer that would have taken it minutes."""
    chain = PROMPT | StrictChatOllama(
        model="tiny-plain",
        base_url=own_real_ollama.url,
        temperature=0,
        format={"type": "array", "items": {"enum": [1]}, "minItems": 1000},
    )
    async with aclosing(llmstream.astream("Count.", chain=chain | StrOutputParser() if parser else chain)) as pieces:
        assert "[" == (await anext(pieces)).strip()
    assert await asyncio.to_thread(own_real_ollama.wait_idle)


@pytest.mark.parametrize("way", WAYS)
async def test_killed_and_started_again(own_real_ollama: RealOllama, way: str) -> None:
    """A killed runner and a killed server end the answer with an error and keep its text; the next one works again."""
    settings = Settings(ollama_url=own_real_ollama.url, model="tiny-chat", temperature=0, demo="never")
    runner = await _killing(own_real_ollama.kill_runner, settings, way)
    again = outline(await ask(settings, SKY, way=way))
    server = await _killing(own_real_ollama.kill_server, settings, way)
    down = outline(await ask(settings, SKY, way=way))
    await asyncio.to_thread(own_real_ollama.restart)

    assert [("failed", "upstream_error", True)] == runner[1:]
    assert [("failed", "upstream_truncated", True)] == server[1:]
    assert [("failed", "upstream_unreachable", True)] == down
    assert [("token", SKY_ANSWER), STOP] == again == outline(await ask(settings, SKY, way=way))
    for text in (runner[0][1], server[0][1]):
        assert text.startswith("Once there was a lighthouse")


async def _killing(kill: Any, settings: Settings, way: str) -> list[tuple[Any, ...]]:
    """The outline of a long answer, in whose middle something is killed."""
    chain = StrictChatOllama(model="tiny-chat", base_url=settings.ollama_url, temperature=0, reasoning=False)
    arguments: dict[str, Any] = {} if way == "default" else {"chain": chain | StrOutputParser()}
    events: list[Event] = []
    async for event in llmstream.astream_events("Tell me a very long story.", settings=settings, **arguments):
        events.append(event)
        if sum(isinstance(each, Token) for each in events) == 20 and isinstance(event, Token):
            await asyncio.to_thread(kill)
    return outline(events)


async def test_what_there_is(real_settings: Settings) -> None:
    """The models that are there, what they can do, and the server's version."""
    server = Ollama.of(real_settings)
    models = await server.models()

    assert {"tiny-chat:latest", "tiny-plain:latest"} == {model.name for model in models}
    assert all((model.size or 0) > 1_000_000 for model in models)
    assert {"completion", "tools", "thinking"} <= await server.capabilities("tiny-chat")
    assert {"completion"} == await server.capabilities("tiny-plain")
    assert await server.running()
    assert (await server.version())[0].isdigit()


async def test_pull_that_fails(real_settings: Settings) -> None:
    """A model that can't be had is told as such."""
    with pytest.raises(llmstream.LlmstreamError, match="could not pull"):
        await asyncio.to_thread(list, Ollama.of(real_settings).pull("127.0.0.1:1/x/nope"))
