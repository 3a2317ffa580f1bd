"""A call that a client demands is made, by any model: as pydantic-ai, instructor and LangChain ask for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from llmstream.core.answer.demanded_call import DemandedCall
from llmstream.demo_ollama.server import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.serving import Served, get, post, serving

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "Of a city.", "parameters": CITY}}
CLOCK = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
NAMED = {"type": "function", "function": {"name": "weather"}}
PARIS = '{"city": "Paris"}'


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Served, DemoOllama]]:
    """A server over a model that can't call tools."""
    demo = DemoOllama(tokens_per_s=None, scenarios=True)
    with demo, serving(create_app(Settings(ollama_url=demo.url, demo="never"))) as server:
        yield server, demo


@pytest.fixture
def ask(served: tuple[Served, DemoOllama]) -> Callable[..., httpx.Response]:
    """Asks with a choice of tools, where the model says this text."""
    server, demo = served

    def asking(text: str, **more: Any) -> httpx.Response:
        demo.answers["Weather?"] = text
        body = {"model": "demo", "messages": [{"role": "user", "content": "Weather?"}], "tools": [WEATHER], **more}
        return post(f"{server.url}/v1/chat/completions", json=body)

    return asking


@pytest.mark.parametrize("choice", ["required", NAMED])
def test_the_one_tool(choice: Any, ask: Callable[..., httpx.Response], served: tuple[Served, DemoOllama]) -> None:
    """The parameters of the one tool are the form of the answer, which is told as its call and not as text."""
    choice_made = ask(PARIS, tool_choice=choice).json()["choices"][0]
    sent = served[1].requests[-1].body
    [call] = choice_made["message"]["tool_calls"]
    assert ("weather", {"city": "Paris"}) == (call["function"]["name"], json.loads(call["function"]["arguments"]))
    assert (None, "tool_calls") == (choice_made["message"]["content"], choice_made["finish_reason"])
    assert (CITY, False) == (sent["format"], "tools" in sent)
    assert "Of a city." in sent["messages"][0]["content"]


def test_one_of_several(ask: Callable[..., httpx.Response], served: tuple[Served, DemoOllama]) -> None:
    """Of several tools the model names the one it calls."""
    text = json.dumps({"name": "weather", "arguments": {"city": "Paris"}})
    message = ask(text, tools=[CLOCK, WEATHER], tool_choice="required").json()["choices"][0]["message"]
    assert "weather" == message["tool_calls"][0]["function"]["name"]
    names = [each["properties"]["name"]["const"] for each in served[1].requests[-1].body["format"]["anyOf"]]
    assert ["clock", "weather"] == names


def test_a_named_one_of_several(ask: Callable[..., httpx.Response], served: tuple[Served, DemoOllama]) -> None:
    """A named function is the only one that the model is told of."""
    assert ask(PARIS, tools=[CLOCK, WEATHER], tool_choice=NAMED).is_success
    assert CITY == served[1].requests[-1].body["format"]


def test_allowed_tools(ask: Callable[..., httpx.Response], served: tuple[Served, DemoOllama]) -> None:
    """OpenAI's list of allowed tools, with a call required, leaves the others out."""
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}
    assert ask(PARIS, tools=[CLOCK, WEATHER], tool_choice=allowed).is_success
    assert CITY == served[1].requests[-1].body["format"]


@pytest.mark.parametrize("text", ["It is sunny.", "[1]", '{"city": ', "null"])
def test_no_call_is_an_error(text: str, ask: Callable[..., httpx.Response]) -> None:
    """An answer that is no call is told as a failure, never as text or as a call that was not made."""
    answer = ask(text, tool_choice="required")
    assert (502, True) == (answer.status_code, "did not make the call" in answer.text)


def test_call_that_was_cut(ask: Callable[..., httpx.Response]) -> None:
    """A call cut by the client's own limit is the client's to mend."""
    answer = ask('{"city": "Paris, a very long name of it"}', tool_choice="required", max_tokens=2)
    assert (400, True) == (answer.status_code, "max_tokens" in answer.text), answer.text


def test_the_log_holds_the_call(ask: Callable[..., httpx.Response], served: tuple[Served, DemoOllama]) -> None:
    """Who follows the run in another dialect sees the call too."""
    run = ask(PARIS, tool_choice="required").headers["x-run-id"]
    events = get(f"{served[0].url}/runs/{run}/events").text
    assert ("event: tool_call" in events, "event: token" in events) == (True, False)


def test_openai_stream(served: tuple[Served, DemoOllama]) -> None:
    """OpenAI's own client gets the call in a stream."""
    served[1].answers["Weather?"] = PARIS
    with openai.OpenAI(base_url=f"{served[0].url}/v1", api_key="none", max_retries=0) as client:
        chunks = list(
            client.chat.completions.create(  # type: ignore[call-overload]
                model="demo", messages=[{"role": "user", "content": "Weather?"}], tools=[WEATHER],
                tool_choice="required", stream=True,
            )
        )  # fmt: skip
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert [("weather", PARIS)] == [(call.function.name, call.function.arguments) for call in calls]


class City(BaseModel):
    """Where a person lives."""

    city: str


def test_langchain_structured_output(served: tuple[Served, DemoOllama]) -> None:
    """LangChain's structured output by function calling gets its object."""
    served[1].answers["Weather?"] = PARIS
    with httpx.Client() as http:
        model = ChatOpenAI(model="demo", base_url=f"{served[0].url}/v1", api_key="none", http_client=http)
        found = model.with_structured_output(City, method="function_calling").invoke("Weather?")
    assert City(city="Paris") == found


def test_definitions_of_several_tools() -> None:
    """Definitions of the same name in two tools stay two, and each reference finds its own."""

    def tool(name: str, kind: str) -> dict[str, Any]:
        schema = {"type": "object", "properties": {"x": {"$ref": "#/$defs/X"}}, "$defs": {"X": {"type": kind}}}
        return {"type": "function", "function": {"name": name, "parameters": schema}}

    schema = DemandedCall([tool("a", "string"), tool("b", "integer")]).format
    found = []
    for choice in schema["anyOf"]:
        reference = choice["properties"]["arguments"]["properties"]["x"]["$ref"]
        found.append(schema["$defs"][reference.removeprefix("#/$defs/")]["type"])
    assert ["string", "integer"] == found
