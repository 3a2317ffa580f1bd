"""OpenAI's dialect, with the clients people use: openai for Python, and LangChain's ChatOpenAI."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from llmstream import sse
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.dialects.openai.encoder import OpenAIEncoder
from llmstream.events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    Reasoning,
    Started,
    Timings,
    Token,
    ToolCall,
    ToolResult,
    Usage,
)
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.golden import forever, golden, stopped
from tests.support.npm import EXACT, NOBODY
from tests.support.serving import Served, post

Serve = Callable[[FastAPI], Served]


def ask(**changes: Any) -> dict[str, Any]:
    """A request."""
    return {"model": "demo", "messages": [{"role": "user", "content": "Why?"}], "stream": True, **changes}


def complete(served: Served, **changes: Any) -> httpx.Response:
    """One request, read to its end."""
    return post(f"{served.url}/v1/chat/completions", json=ask(**changes))


WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
SCENARIOS: dict[str, dict[str, Any]] = {
    "text": {"model": "demo:one-chunk", "stream_options": {"include_usage": True}},
    "reasoning": {"model": "demo:thinking", "reasoning_effort": "high"},
    "tool_call": {"model": "demo:tool-call", "tools": [WEATHER]},
    "error_late": {"model": "demo:error-line"},
    "truncated": {"model": "demo:no-done"},
    "length": {"model": "demo:length"},
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_transcript(served: Served, scenario: str) -> None:
    """The bytes are those of the golden transcript."""
    golden(f"openai_{scenario}", complete(served, **SCENARIOS[scenario]).content)


def test_transcript_of_a_stopped_answer(serve: Serve, settings: Settings) -> None:
    """A stop is told as an error: what came is not the whole answer."""
    served = serve(create_app(settings, chain=forever))
    golden("openai_stopped", stopped(served, "/v1/chat/completions", ask(model="chain")))


def test_headers(served: Served) -> None:
    """A stream's headers are the ones of every dialect here."""
    response = complete(served)
    assert "text/event-stream" == response.headers["content-type"]
    assert "no-store, no-transform" == response.headers["cache-control"]


def test_text_is_exact(client: openai.OpenAI, upstream: DemoOllama) -> None:
    """What the client joins is what the model said."""
    upstream.answers["Why?"] = EXACT
    chunks = list(client.chat.completions.create(**ask()))
    assert EXACT == "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert "stop" == chunks[-1].choices[0].finish_reason
    assert 1 == len({(chunk.id, chunk.created, chunk.model) for chunk in chunks})


def test_reasoning_is_apart(client: openai.OpenAI) -> None:
    """Thoughts come in fields of their own, before the text."""
    chunks = list(client.chat.completions.create(**ask(model="demo:thinking", reasoning_effort="high")))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert SENTENCE == "".join(delta.content or "" for delta in deltas)
    for field in ("reasoning", "reasoning_content"):
        assert "Let me think." == "".join(getattr(delta, field, "") for delta in deltas)


def test_early_error_raises(client: openai.OpenAI, serve: Serve) -> None:
    """A model that isn't there and an Ollama that is down raise the package's own classes, with a sentence."""
    with pytest.raises(openai.NotFoundError, match="The model 'nobody' is not there"):
        client.chat.completions.create(**ask(model="nobody"))
    down = serve(create_app(Settings(ollama_url=NOBODY, model="demo", demo="never")))
    with pytest.raises(openai.InternalServerError, match="Ollama is not running"):
        client.with_options(base_url=f"{down.url}/v1").chat.completions.create(**ask())


def test_usage_comes_last(client: openai.OpenAI) -> None:
    """With include_usage the last chunk has the usage and no choices."""
    chunks = list(client.chat.completions.create(**ask(model="demo:one-chunk", stream_options={"include_usage": True})))
    assert [] == chunks[-1].choices
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == chunks[-1].usage.prompt_tokens + chunks[-1].usage.completion_tokens > 0


def test_whole_body(client: openai.OpenAI) -> None:
    """Without stream there is one body, with usage."""
    answer = client.chat.completions.create(**ask(model="demo:thinking", stream=False, reasoning_effort="low"))
    assert SENTENCE == answer.choices[0].message.content
    assert "Let me think." == answer.choices[0].message.reasoning_content
    assert answer.usage.completion_tokens > 0


def test_tool_call_both_ways(client: openai.OpenAI) -> None:
    """The model's call comes to the client, and the result goes to the model."""
    request = ask(model="demo:tool-call", tools=[WEATHER], stream=False)
    message = client.chat.completions.create(**request).choices[0].message
    assert [("get_weather", {"city": "Paris"})] == [
        (call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls
    ]
    request["messages"] += [
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "Sunny"},
    ]
    assert SENTENCE == client.chat.completions.create(**request).choices[0].message.content


def test_parameters_reach_the_model(client: openai.OpenAI, upstream: DemoOllama) -> None:
    """Every parameter that Ollama has goes there by Ollama's name."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    client.chat.completions.create(
        **ask(
            stream=False,
            temperature=0.5,
            top_p=0.9,
            seed=7,
            max_tokens=99,
            stop="END",
            presence_penalty=1,
            frequency_penalty=2,
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
            tools=[WEATHER],
            tool_choice="none",
            user="me",
        )
    )
    body = upstream.requests[-1].body
    assert schema == body["format"]
    assert "tools" not in body
    assert {
        "temperature": 0.5, "top_p": 0.9, "seed": 7, "num_predict": 99, "stop": ["END"], "presence_penalty": 1,
        "frequency_penalty": 2,
    } == body["options"]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"n": 2},
        {"logprobs": True},
        {"logit_bias": {"5": 1}},
        {"tools": [], "tool_choice": "required"},
        {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "other"}}},
        {"tools": [WEATHER], "tool_choice": "perhaps"},
        {"response_format": {"type": "grammar"}},
        {"reasoning_effort": "a lot"},
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": ""}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]}]},
        {"messages": []},
        {"unheard_of": 1},
        {"think": False},
        {"features": {"web_search": True}},
        {"model": "demo", "reasoning_effort": "high"},
    ],
)
def test_what_cannot_be_done_is_refused(client: openai.OpenAI, change: dict[str, Any]) -> None:
    """What is not supported is a 400, not ignored."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{**ask(), **change.pop("body", {})}, extra_body=change)
    assert "invalid_request_error" == caught.value.type
    assert caught.value.code in ("invalid_request", "capability_missing")


# What chat pages send beside the question: ids, empty fields, and the values that the API has by itself.
PAGE: dict[str, Any] = {
    "n": 1, "temperature": 1, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0, "max_tokens": None,
    "max_completion_tokens": -1, "stop": [], "seed": None, "tools": [], "tool_choice": None, "functions": None,
    "logit_bias": {}, "logprobs": False, "response_format": {"type": "text"}, "stream_options": {"include_usage": True},
    "user": {"id": "u", "name": "Ann"}, "metadata": {"task": "title", "task_body": {"messages": []}}, "chat_id": "c",
    "session_id": "s", "id": "m", "features": {"web_search": False, "voice": False}, "params": {}, "files": [],
    "tool_servers": [], "provider": {"order": None}, "system_fingerprint": "",
}  # fmt: skip


@pytest.mark.parametrize("stream", [True, False])
def test_page_that_sends_much_is_answered(serve: Serve, settings: Settings, stream: bool) -> None:
    """Fields that ask for nothing are no reason to refuse, neither over a model nor over a chain of one's own."""

    async def chain(question: str) -> str:
        return f"You asked {question}"

    for app, model in ((create_app(settings), "demo:one-chunk"), (create_app(settings, chain=chain), "chain")):
        response = complete(serve(app), **PAGE, model=model, stream=stream)
        assert 200 == response.status_code, response.text


def test_other_servers_options_reach_the_model(client: openai.OpenAI, upstream: DemoOllama) -> None:
    """Options that OpenAI does not have and many clients send go to Ollama by its names."""
    client.chat.completions.create(**ask(stream=False), extra_body={"top_k": 5, "min_p": 0.1, "repetition_penalty": 2})
    assert {"top_k": 5, "min_p": 0.1, "repeat_penalty": 2} == upstream.requests[-1].body["options"]


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("nobody", 404, "model_not_found"),
        ("demo-thinking", 403, "model_not_allowed"),
        ("demo:error-500", 502, "upstream_error"),
    ],
)
def test_early_error_is_a_status(serve: Serve, settings: Settings, model: str, status: int, code: str) -> None:
    """A failure before the first token is an HTTP status with OpenAI's body."""
    served = serve(create_app(settings.change(allowed_models=("demo", "nobody", "demo:error-500"))))
    response = complete(served, model=model)
    assert (status, code) == (response.status_code, response.json()["error"]["code"])


def test_busy_says_when_to_ask_again(serve: Serve, settings: Settings) -> None:
    """No place left is 503 with Retry-After, and nothing tells the client not to ask again."""
    served = serve(create_app(settings.change(max_active_runs=1, max_queued_runs=0), chain=forever))
    with httpx.stream("POST", f"{served.url}/v1/chat/completions", json=ask(model="chain"), timeout=30):
        response = complete(served, model="chain")
    assert 503 == response.status_code
    assert "2" == response.headers["retry-after"]
    assert "x-should-retry" not in response.headers


def test_not_repeatable_says_so(serve: Serve, settings: Settings) -> None:
    """A failure that would come again tells the client not to ask again."""

    async def broken(question: str) -> str:
        raise ValueError

    served = serve(create_app(settings, chain=broken))
    with (
        openai.OpenAI(base_url=f"{served.url}/v1", api_key="none") as client,
        pytest.raises(openai.InternalServerError) as caught,
    ):
        client.chat.completions.create(**ask(model="chain"))
    assert "false" == caught.value.response.headers["x-should-retry"]
    assert "0" == caught.value.request.headers["x-stainless-retry-count"]


@pytest.mark.parametrize("model", ["demo:error-line", "demo:no-done", "demo:cut"])
def test_late_error_raises(client: openai.OpenAI, model: str) -> None:
    """An error and a truncation after the first token raise in the client, after what came."""
    pieces: list[str] = []
    with pytest.raises(openai.APIError):
        pieces.extend(c.choices[0].delta.content or "" for c in client.chat.completions.create(**ask(model=model)))
    assert SENTENCE.startswith("".join(pieces))
    assert pieces
    with pytest.raises(openai.APIError):
        client.chat.completions.create(**ask(model=model, stream=False))


def test_leaving_stops_the_model(client: openai.OpenAI, upstream: DemoOllama) -> None:
    """A client that closes its stream frees the model at once: it can't come back."""
    with client.chat.completions.create(**ask(model="demo:endless-200")) as stream:
        for _, _ in zip(range(5), stream, strict=False):
            pass
    assert upstream.wait_idle(timeout_s=2)


def test_models(client: openai.OpenAI) -> None:
    """The list is that of the models a client may ask for, each to be had by its name with or without a tag."""
    assert ["demo:latest", "demo-thinking:latest"] == [model.id for model in client.models.list()]
    assert "demo" == client.models.retrieve("demo").id
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_chain_has_a_name(serve: Serve, settings: Settings) -> None:
    """A chain is a model under its name; another name is 404, and a form that it can't be told to have is 400."""

    async def chain(question: str) -> str:
        return f"You asked {question}"

    served = serve(create_app(settings, chain=chain))
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        answer = client.chat.completions.create(**ask(model="chain:latest", stream=False))
        assert "You asked Why?" == answer.choices[0].message.content
        assert ["chain"] == [model.id for model in client.models.list()]
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(**ask(model="demo"))
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(**ask(model="chain", response_format={"type": "json_object"}))


def test_same_key_starts_one_run(served: Served) -> None:
    """A request that comes again with its key is the same run; with another body it is a conflict."""
    url, headers = f"{served.url}/v1/chat/completions", {"idempotency-key": "k"}
    first, again = (post(url, json=ask(), headers=headers) for _ in range(2))
    assert first.headers["x-run-id"] == again.headers["x-run-id"]
    assert 409 == post(url, json=ask(seed=1), headers=headers).status_code


async def test_async_client(served: Served) -> None:
    """The async client reads the same."""
    async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(**ask(model="demo:one-chunk"))
        assert SENTENCE == "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


@pytest.fixture
def chat(served: Served) -> Callable[..., ChatOpenAI]:
    """LangChain's client."""
    return lambda **options: ChatOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, **options)


def test_chat_openai_streams(chat: Callable[..., ChatOpenAI], upstream: DemoOllama) -> None:
    """ChatOpenAI gives the exact text and the usage; thoughts, for which it has no place, stay out of the text."""
    upstream.answers["Why?"] = EXACT
    whole = AIMessageChunk(content="")
    for chunk in chat(model="demo", stream_usage=True).stream("Why?"):
        whole += chunk
    assert EXACT == whole.content
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] > 0
    assert SENTENCE == chat(model="demo:thinking", reasoning_effort="high").invoke("Why?").content


def test_chat_openai_tools(chat: Callable[..., ChatOpenAI]) -> None:
    """Tools bound to ChatOpenAI are called, and their results answered from."""

    @tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return "Sunny"

    model = chat(model="demo:tool-call").bind_tools([get_weather])
    asked: list[Any] = [HumanMessage("Weather?")]
    call = model.invoke(asked)
    assert isinstance(call, AIMessage)
    assert [("get_weather", {"city": "Paris"})] == [(each["name"], each["args"]) for each in call.tool_calls]
    assert SENTENCE == model.invoke([*asked, call, ToolMessage("Sunny", tool_call_id=call.tool_calls[0]["id"])]).content


def test_chat_openai_errors(chat: Callable[..., ChatOpenAI]) -> None:
    """A model that isn't there raises, and so does an answer that broke off, after what came."""
    with pytest.raises(openai.NotFoundError, match="ollama pull nobody"):
        chat(model="nobody").invoke("Why?")
    for model in ("demo:error-line", "demo:no-done"):
        pieces: list[str] = []
        with pytest.raises(openai.APIError, match="broke off"):
            pieces.extend(str(chunk.content) for chunk in chat(model=model).stream("Why?"))
        assert SENTENCE.startswith("".join(pieces))
        assert "".join(pieces)


def test_chat_openai_leaving(chat: Callable[..., ChatOpenAI], upstream: DemoOllama) -> None:
    """Closing its stream frees the model at once."""
    stream = chat(model="demo:endless-200").stream("Why?")
    for _, _ in zip(range(5), stream, strict=False):
        pass
    stream.close()  # type: ignore[attr-defined]
    assert upstream.wait_idle(timeout_s=2)


def test_own_tools_of_a_chain_stay_here() -> None:
    """A call that the chain answered itself is not the client's to make."""
    encoder = OpenAIEncoder("r", model="m")
    events: list[Event] = [
        Started("m", 0),
        ToolCall("a", "search", {}),
        ToolResult("a", "found"),
        Token("Done."),
        ToolCall("b", "theirs", {}),
        Finished("tool_calls", Usage(), Timings()),
    ]
    chunks = [json.loads(message.data) for message in sse.Decoder().feed(encoder.encode(1, events))[:-1]]
    calls = [call["id"] for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert ["b"] == calls
    assert "tool_calls" == chunks[-1]["choices"][0]["finish_reason"]


def test_batches_do_not_matter() -> None:
    """The bytes are the same however the events come together."""
    events: list[Event] = [Started("m", 0), Reasoning("a"), Token("b"), Token("c"), Failed("x", "y", False)]
    one, many = OpenAIEncoder("r", model="m"), OpenAIEncoder("r", model="m")
    assert one.encode(1, events) == b"".join(many.encode(n, [event]) for n, event in enumerate(events, 1))
    assert b"[DONE]" in OpenAIEncoder("r", model="m").encode(1, [Started("m", 0), Cancelled("left")])


def test_one_of_two_that_wait_for_a_whole_answer_leaves(served: Served, upstream: DemoOllama) -> None:
    """The same key twice is one answer, and the one who stays gets all of it."""
    key, body = {"Idempotency-Key": "k"}, ask(model="demo:slow-0.5", stream=False)
    with ThreadPoolExecutor() as pool:
        stays = pool.submit(post, f"{served.url}/v1/chat/completions", json=body, headers=key)
        assert upstream.wait_active(1)
        with pytest.raises(httpx.ReadTimeout):
            post(f"{served.url}/v1/chat/completions", json=body, headers=key, timeout=0.1)
    assert SENTENCE == stays.result().json()["choices"][0]["message"]["content"]
