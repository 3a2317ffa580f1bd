"""Requests of OpenAI's chat completions: what reaches the model, what is refused, and how a failure is told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.completions import WEATHER, ask, complete
from tests.support.golden import forever
from tests.support.serving import Serve, Served, post


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


def test_same_key_starts_one_run(served: Served) -> None:
    """A request that comes again with its key is the same run; with another body it is a conflict."""
    url, headers = f"{served.url}/v1/chat/completions", {"idempotency-key": "k"}
    first, again = (post(url, json=ask(), headers=headers) for _ in range(2))
    assert first.headers["x-run-id"] == again.headers["x-run-id"]
    assert 409 == post(url, json=ask(seed=1), headers=headers).status_code


def test_one_of_two_that_wait_for_a_whole_answer_leaves(served: Served, upstream: DemoOllama) -> None:
    """The same key twice is one answer, and the one who stays gets all of it."""
    key, body = {"Idempotency-Key": "k"}, ask(model="demo:slow-0.5", stream=False)
    with ThreadPoolExecutor() as pool:
        stays = pool.submit(post, f"{served.url}/v1/chat/completions", json=body, headers=key)
        assert upstream.wait_active(1)
        with pytest.raises(httpx.ReadTimeout):
            post(f"{served.url}/v1/chat/completions", json=body, headers=key, timeout=0.1)
    assert SENTENCE == stays.result().json()["choices"][0]["message"]["content"]
