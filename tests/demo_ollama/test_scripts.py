"""The fixture `demo_ollama`: every model is there, and answers what a test scripts."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import ollama
import openai
import pytest

import llmstream
from llmstream.demo_ollama import DemoOllama, Pause, Thought, ToolCall
from llmstream.demo_ollama.scenarios import SCENARIOS, SENTENCE
from llmstream.testing import SET_ANSWER
from tests.support import ROOT

WEATHER: list[Any] = [Thought("Let me think."), "I look. ", ToolCall("weather", {"city": "Oslo"}), "It rains."]


def say(question: str, model: str = "llama3.2", **options: Any) -> ollama.Message:
    with ollama.Client() as client:
        response: ollama.ChatResponse = client.chat(model, [{"role": "user", "content": question}], **options)
        return response.message


def complete(demo: DemoOllama, question: str, model: str = "gpt-4o", **options: Any) -> Any:
    with openai.OpenAI(base_url=f"{demo.url}/v1", api_key="none", max_retries=0) as client:
        messages: list[Any] = [{"role": "user", "content": question}]
        answer = client.chat.completions.create(model=model, messages=messages, **options)
        return list(answer) if options.get("stream") else answer


def test_every_name_is_a_model(demo_ollama: DemoOllama) -> None:
    """A test need not know what the app calls its model; a misspelt scenario is no model."""
    demo_ollama.answers["hi"] = "there"
    names = ["llama3.2", "qwen3:8b", "hf.co/ann/model:Q4", "demo", "demo-thinking"]

    assert ["there"] * len(names) == [say("hi", name).content for name in names]
    with pytest.raises(ollama.ResponseError, match="model 'demo:ctu' not found"):
        say("hi", "demo:ctu")


def test_patterns_functions_and_the_default(demo_ollama: DemoOllama) -> None:
    """The exact question comes before a pattern, a pattern before the default."""
    demo_ollama.answers[re.compile(r"(?i)weather in (\w+)")] = "It rains."
    demo_ollama.answers["The weather in Rome?"] = lambda request: f"{request.model}: {request.question.upper()}"

    assert SET_ANSWER == say("How do I mount llmstream in my FastAPI app?").content
    assert "It rains." == say("Answer briefly: Weather in Oslo?").content
    assert "llama3.2: THE WEATHER IN ROME?" == say("The weather in Rome?").content
    demo_ollama.answers.default = lambda request: str(len(request.messages))
    assert "1" == say("Anything else?").content


def test_thoughts_and_pauses(demo_ollama: DemoOllama) -> None:
    """A thought is told apart, or not at all where the request wants none."""
    demo_ollama.answers["hi"] = [Thought("A greeting."), "Hello ", Pause(0.01), "there."]

    assert ("A greeting.", "Hello there.") == ((message := say("hi", think=True)).thinking, message.content)
    assert not say("hi", think=False).thinking


def test_what_follows_a_call_is_said_after_its_result(demo_ollama: DemoOllama) -> None:
    """A chain with tools comes to its end, and may be asked again."""
    demo_ollama.answers["Weather?"] = WEATHER
    question = {"role": "user", "content": "Weather?"}
    with ollama.Client() as client:
        called = client.chat("m", [question]).message
        result = {"role": "tool", "content": "rain"}
        answer = client.chat("m", [question, called, result]).message
        again = client.chat("m", [question, called, result, answer, question]).message

    assert [("weather", {"city": "Oslo"})] == [(c.function.name, c.function.arguments) for c in called.tool_calls or ()]
    assert ("It rains.", None) == (answer.content, answer.tool_calls)
    assert 1 == len(again.tool_calls or ())


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (lambda request: str(1 / 0), "The script of 'hi' failed: ZeroDivisionError: division by zero"),
        (lambda request: 5, "The script of 'hi' failed: TypeError: An answer is a text, a Thought, .*; got 5"),
        ([ToolCall("f", {})], "The script of 'hi' ends with a tool call: add what follows its result."),
    ],
)
def test_a_script_that_fails_says_so(
    demo_ollama: DemoOllama, script: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In one sentence, which the test that failed shows; in the log, too, for an app may keep it from its people."""
    demo_ollama.answers["hi"] = script
    called: list[Any] = [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}]

    with ollama.Client() as client, pytest.raises(ollama.ResponseError, match=f"^{said}") as failure:
        client.chat("m", [{"role": "user", "content": "hi"}, *(called if isinstance(script, list) else ())])
    assert [failure.value.error] == [record.message for record in caplog.records if "The script" in record.message]
    assert "\n" not in failure.value.error


def test_a_question_that_is_not_scripted_is_told(demo_ollama: DemoOllama, caplog: pytest.LogCaptureFixture) -> None:
    """In the log of the test, beside what is; where nothing is scripted, nothing is told."""
    say("Hello!")
    assert [] == [each for each in caplog.records if "scripted" in each.message]
    demo_ollama.answers["Hello"] = "Hi."
    assert SET_ANSWER == say("Hello!").content
    assert "nothing is scripted for 'Hello!'; scripted: 'Hello'" == caplog.records[-1].message


def test_a_script_that_fails_is_told_through_the_app(demo_ollama: DemoOllama) -> None:
    """By the error that the test gets."""
    demo_ollama.answers["Hello"] = lambda request: str(1 / 0)
    with pytest.raises(llmstream.LlmstreamError, match="The script of 'Hello' failed: ZeroDivisionError"):
        "".join(llmstream.stream("Hello"))


def test_the_demo_of_a_block_answers_under_any_name() -> None:
    """As the command does, since no model is there to be pulled."""
    with llmstream.demo(tokens_per_s=None):
        assert "".join(llmstream.stream("Hello", model="llama3.2")).startswith("Hello! I am llmstream's demo")


def test_a_script_that_is_none_is_refused_where_it_stands(demo_ollama: DemoOllama) -> None:
    """In the test's own line, not in the server."""
    with pytest.raises(TypeError, match="An answer is a text"):
        demo_ollama.answers["hi"] = 5  # type: ignore[assignment]
    with pytest.raises(TypeError, match="A question is a text"):
        demo_ollama.answers[5] = "hi"  # type: ignore[index]
    with pytest.raises(TypeError, match="An answer is a text"):
        demo_ollama.answers |= {"hi": 5}
    demo_ollama.answers = {"hi": "Hello."}
    assert "Hello." == say("hi").content


def test_openai_clients_are_answered_alike(demo_ollama: DemoOllama) -> None:
    """Text, thought, call and counts, streamed and whole."""
    demo_ollama.answers["Weather?"] = WEATHER
    whole = complete(demo_ollama, "Weather?").choices[0]
    *chunks, counts = complete(demo_ollama, "Weather?", stream=True, stream_options={"include_usage": True})
    deltas = [chunk.choices[0].delta for chunk in chunks]

    assert ("I look. ", "tool_calls") == (whole.message.content, whole.finish_reason)
    assert '{"city": "Oslo"}' == whole.message.tool_calls[0].function.arguments
    assert "I look. " == "".join(delta.content for delta in deltas)
    assert "Let me think." == "".join(getattr(delta, "reasoning_content", "") for delta in deltas)
    assert counts.usage.completion_tokens > 5
    assert "tool_calls" == chunks[-1].choices[0].finish_reason
    assert "/v1/chat/completions" == demo_ollama.requests[0].path
    assert demo_ollama.requests[0].finished
    assert "length" == complete(demo_ollama, "hi", max_tokens=2).choices[0].finish_reason
    with openai.OpenAI(base_url=f"{demo_ollama.url}/v1", api_key="none") as client:
        listed = ["demo:latest", "demo-thinking:latest"]  # and none that was asked for: nobody has it
        assert listed == [model.id for model in client.models.list()]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("demo:cut", openai.APIConnectionError),
        ("demo:error-line", openai.APIError),
        ("demo:busy", openai.InternalServerError),
        ("demo:gone", openai.NotFoundError),
    ],
)
def test_openai_clients_meet_the_faults(
    demo_ollama: DemoOllama, model: str, error: type[Exception], *, stream: bool
) -> None:
    """The faults are those of Ollama's own endpoints."""
    with pytest.raises(error):
        complete(demo_ollama, "hi", model, stream=stream)


def test_openai_clients_meet_an_end_that_is_none(demo_ollama: DemoOllama) -> None:
    """An answer without its end is no answer where it is one body, and has no reason where it is streamed."""
    chunks = complete(demo_ollama, "hi", "demo:no-done", stream=True)
    assert (SENTENCE, None) == (
        "".join(chunk.choices[0].delta.content for chunk in chunks),
        chunks[-1].choices[0].finish_reason,
    )
    with pytest.raises(openai.InternalServerError, match="broke off"):
        complete(demo_ollama, "hi", "demo:no-done")


async def test_in_async_tests(demo_ollama: DemoOllama) -> None:
    """The demo runs in a thread of its own, so a pause holds up nobody else."""
    demo_ollama.answers["slow"] = [Pause(30), "late"]
    async with ollama.AsyncClient() as client:
        waiting = asyncio.create_task(client.chat("m", [{"role": "user", "content": "slow"}]))

        assert await asyncio.to_thread(demo_ollama.wait_active)
        assert SET_ANSWER == (await client.chat("m", [{"role": "user", "content": "hi"}])).message.content
        waiting.cancel()
        assert await asyncio.to_thread(demo_ollama.wait_idle)


def test_every_scenario_is_in_the_table() -> None:
    """The page about tests names each fault that there is, and none that there isn't."""
    rows = re.findall(r"^\| `demo:([a-z0-9-]+?)(?:-N)?` \|", (ROOT / "docs" / "testing.md").read_text(), re.MULTILINE)

    assert {*SCENARIOS, "gone"} == set(rows)
