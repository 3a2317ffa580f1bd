"""OpenAI's Responses, with the clients people use."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from langchain_openai import ChatOpenAI

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.dialects.responses.kept import whole
from llmstream.dialects.responses.resource import RepeatedFields
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.message_runs import RUNS
from tests.support.npm import EXACT, NOBODY
from tests.support.responses import SCENARIOS, WEATHER, send
from tests.support.serving import Serve, Served, get


def test_text_is_exact(client: openai.OpenAI, upstream: DemoOllama) -> None:
    """What the client joins is what the model said: streamed, whole, and asked for later."""
    upstream.answers["Why?"] = EXACT
    with client.responses.stream(model="demo", input="Why?") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        streamed = stream.get_final_response()
    whole = client.responses.create(model="demo", input="Why?")
    again = client.responses.retrieve(whole.id)
    assert [EXACT] * 4 == ["".join(deltas), *(response.output_text for response in (streamed, whole, again))]
    assert {"completed"} == {response.status for response in (streamed, whole, again)}
    assert whole == again
    assert streamed.usage
    assert whole.usage
    assert streamed.usage.total_tokens == whole.usage.total_tokens > 0


def test_reasoning_is_an_item_of_its_own(client: openai.OpenAI) -> None:
    """It stands before the text."""
    made = client.responses.create(model="demo:thinking", input="Why?", reasoning={"effort": "high"})
    assert ["reasoning", "message"] == [item.type for item in made.output]
    assert "Let me think." == made.output[0].summary[0].text  # type: ignore[union-attr]
    assert SENTENCE == made.output_text


def test_call_and_its_result(client: openai.OpenAI, upstream: DemoOllama) -> None:
    """A call comes as an item with its arguments; its output goes back to the model with the items before it."""
    made = client.responses.create(model="demo:tool-call", input="Why?", tools=[WEATHER])  # type: ignore[list-item]
    call = next(item for item in made.output if item.type == "function_call")
    assert ("get_weather", {"city": "Paris"}) == (call.name, json.loads(call.arguments))
    history: list[Any] = [
        {"role": "user", "content": "Why?"},
        *(item.model_dump(exclude_none=True) for item in made.output),
        {"type": "function_call_output", "call_id": call.call_id, "output": [{"type": "input_text", "text": "18 °C"}]},
    ]
    client.responses.create(model="demo:tool-call", input=history, tools=[WEATHER])  # type: ignore[list-item]
    sent = upstream.requests[-1].body["messages"]
    assert ["user", "assistant", "tool"] == [each["role"] for each in sent]
    assert ("18 °C", "get_weather") == (sent[2]["content"], sent[1]["tool_calls"][0]["function"]["name"])


def test_background_goes_on_alone(client: openai.OpenAI, upstream: DemoOllama) -> None:
    """It answers at once, is followed later, and ends by a cancel."""
    made = client.responses.create(model="demo", input="Why?", background=True)
    assert ("in_progress", True) == (made.status, made.background)
    followed = list(client.responses.retrieve(made.id, stream=True))
    assert "response.completed" == followed[-1].type
    endless = client.responses.create(model="demo:endless-100", input="Why?", background=True)
    assert "in_progress" == client.responses.retrieve(endless.id).status
    assert "cancelled" == client.responses.cancel(endless.id).status
    assert "cancelled" == client.responses.cancel(endless.id).status
    assert upstream.wait_idle()


def test_leaving_stops(served: Served, upstream: DemoOllama) -> None:
    """What is not made in the background ends with its client."""
    body = {"model": "demo:endless-100", "input": "Why?", "stream": True}
    with httpx.stream("POST", f"{served.url}/v1/responses", json=body, timeout=30) as response:
        next(response.iter_raw())
    assert upstream.wait_idle()


def test_deleted(client: openai.OpenAI, served: Served, upstream: DemoOllama) -> None:
    """A deleted response is stopped and given to nobody."""
    made = client.responses.create(model="demo:endless-100", input="Why?", background=True)
    client.responses.delete(made.id)
    assert upstream.wait_idle()
    for gone in (made.id, "resp_0", "nothing"):
        with pytest.raises(openai.NotFoundError, match="no response"):
            client.responses.retrieve(gone)
        assert 404 == get(f"{served.url}/v1/responses/{gone}?stream=true").status_code


def test_length_is_told(client: openai.OpenAI) -> None:
    """An answer that met its limit is incomplete."""
    made = client.responses.create(model="demo:length", input="Why?", max_output_tokens=5)
    assert made.incomplete_details
    assert ("incomplete", "max_output_tokens") == (made.status, made.incomplete_details.reason)


@pytest.mark.parametrize("scenario", ["error_late", "truncated"])
def test_failed_answer_raises(client: openai.OpenAI, scenario: str) -> None:
    """The client does not take what came for the answer."""
    model = SCENARIOS[scenario]["model"]
    with pytest.raises(openai.APIStatusError):
        client.responses.create(model=model, input="Why?")
    with client.responses.stream(model=model, input="Why?") as stream, pytest.raises(RuntimeError, match="completed"):
        stream.get_final_response()
    chat = ChatOpenAI(model=model, base_url=str(client.base_url), api_key="none", use_responses_api=True)
    with pytest.raises(ValueError, match="broke off"):
        list(chat.stream("Why?"))


def test_no_ollama(serve: Serve, settings: Settings) -> None:
    """A failure before the first byte has a status, also of a stream."""
    served = serve(create_app(settings.change(ollama_url=NOBODY, model="demo")))
    answer = send(served, stream=True)
    assert (502, "upstream_unreachable") == (answer.status_code, answer.json()["error"]["code"])


def test_langchain(served: Served, upstream: DemoOllama) -> None:
    """`ChatOpenAI` by this API: text, reasoning, a call and its result."""
    upstream.answers["Why?"] = EXACT
    options: dict[str, Any] = {"base_url": f"{served.url}/v1", "api_key": "none", "use_responses_api": True}
    chat = ChatOpenAI(model="demo", **options)
    chunks = list(chat.stream("Why?"))
    assert [EXACT, EXACT] == ["".join(chunk.text for chunk in chunks), chat.invoke("Why?").text]
    thinking = ChatOpenAI(model="demo:thinking", reasoning={"effort": "high", "summary": "auto"}, **options)
    blocks = thinking.invoke("Why?").content_blocks
    assert [("reasoning", "Let me think."), ("text", SENTENCE)] == [
        (block["type"], block.get("reasoning") or block.get("text")) for block in blocks
    ]
    calling = ChatOpenAI(model="demo:tool-call", **options).bind_tools([WEATHER])
    made = calling.invoke("Why?")
    (call,) = made.tool_calls
    assert {"city": "Paris"} == call["args"]
    result = {"role": "tool", "tool_call_id": call["id"], "content": "18 °C"}
    calling.invoke([{"role": "user", "content": "Why?"}, made, result])
    assert ["user", "assistant", "tool"] == [each["role"] for each in upstream.requests[-1].body["messages"]]


def test_what_was_taken_back_is_left_out() -> None:
    """A whole response has no drafts in it, and its items keep their names."""
    response = whole("0" * 32, RepeatedFields(), RUNS["withdrawn"])
    assert ["The answer."] == [item["content"][0]["text"] for item in response["output"]]
