"""Requests of OpenAI's Responses, with what Codex and the Agents SDK send: what is read, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from llmstream.demo_ollama import DemoOllama
from llmstream.dialects.responses.kept import whole
from llmstream.dialects.responses.resource import RepeatedFields
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.pixel import PIXEL
from tests.support.responses import ENDED, WEATHER, check_stream, events_of, send
from tests.support.serving import Serve, Served, post


def test_content_is_read(keeping: tuple[Served, list[Any]]) -> None:
    """Instructions, images and files reach the chain as LangChain knows them."""
    served, got = keeping
    content = [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"},
        {"type": "input_file", "filename": "notes.txt", "file_data": "data:text/plain;base64,Qmx1ZS4="},
    ]
    items = [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": content}]
    answer = send(served, model="chain", instructions="Be brief.", input=items)
    assert 200 == answer.status_code, answer.text
    assert ["Be brief.", "Be kind."] == [message.content for message in got[:2]]
    assert ["What is it?", "notes.txt:\nBlue."] == [part["text"] for part in got[2].content if part["type"] == "text"]
    assert f"data:image/png;base64,{PIXEL}" in str(got[2].content)


def test_options_reach_the_model(served: Served, upstream: DemoOllama) -> None:
    """Under Ollama's names, and a form as its schema; the response repeats the numbers."""
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    answer = send(served, max_output_tokens=50, temperature=0.5, top_p=0.9, text={"format": form, "verbosity": "low"})
    assert 200 == answer.status_code, answer.text
    body = upstream.requests[-1].body
    assert (50, 0.5, 0.9) == tuple(body["options"][name] for name in ("num_predict", "temperature", "top_p"))
    assert {"type": "object"} == body["format"]
    assert (50, 0.5, 0.9) == tuple(answer.json()[name] for name in ("max_output_tokens", "temperature", "top_p"))
    assert "verbosity" == answer.headers["x-llmstream-ignored"]


@pytest.mark.parametrize(
    "changes",
    [
        {"input": []},
        {"input": [{"role": "user", "content": [{"type": "input_audio", "data": ""}]}]},
        {"input": [{"role": "user", "content": [5]}]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://x/y"}]}]},
        {"input": [{"role": "user", "content": "x"}, {"type": "computer_call_output", "output": {}}]},
        {"input": [{"type": "item_reference", "id": "msg_0_1"}]},
        {"input": [{"type": "item_reference"}]},
        {"tools": [WEATHER], "tool_choice": {"type": "function", "name": "gone"}},
        {"tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {}}}]},
        {"tool_choice": "required"},
        {"text": {"format": {"type": "poem"}}},
        {"previous_response_id": "resp_0"},
        {"conversation": "conv_0"},
        {"prompt": {"id": "pmpt_0"}},
        {"top_logprobs": 5},
        {"best_of": 5},
        {"max_output_tokens": 0},
        {"reasoning": {"effort": "endless"}},
    ],
)
def test_what_is_refused(served: Served, changes: dict[str, Any]) -> None:
    """With a sentence, in OpenAI's form."""
    answer = send(served, **changes)
    assert (400, "invalid_request_error") == (answer.status_code, answer.json()["error"]["type"])
    assert answer.json()["error"]["message"].endswith(".")


def test_demanded_call_is_made(client: openai.OpenAI, upstream: DemoOllama) -> None:
    """`tool_choice` makes a call of a model that can't call tools by itself."""
    upstream.answers["Why?"] = '{"city": "Paris"}'
    choices: list[Any] = [
        "required",
        {"type": "function", "name": "get_weather"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "get_weather"}]},
    ]
    for choice in choices:
        made = client.responses.create(model="demo", input="Why?", tools=[WEATHER], tool_choice=choice)  # type: ignore[list-item]
        call = made.output[-1]
        assert call.type == "function_call"
        assert {"city": "Paris"} == json.loads(call.arguments)


def test_one_call_at_a_time() -> None:
    """A client that takes one call at a time is given one."""
    said = RepeatedFields(parallel_tool_calls=False)
    assert ["a"] == [
        item["call_id"] for item in whole("0" * 32, said, ENDED["calls"])["output"] if item["type"] == "function_call"
    ]


def test_items_by_reference(client: openai.OpenAI, served: Served, upstream: DemoOllama) -> None:
    """An item of an earlier response stands for itself, as the AI SDK sends it, unless it is gone."""
    made = client.responses.create(model="demo:one-chunk", input="Why?")
    reference: Any = {"type": "item_reference", "id": made.output[0].id}
    history: list[Any] = [{"role": "user", "content": "Why?"}, reference, {"role": "user", "content": "And at dusk?"}]
    client.responses.create(model="demo", input=history)
    sent = upstream.requests[-1].body["messages"]
    assert ["Why?", made.output_text, "And at dusk?"] == [message["content"] for message in sent]
    client.responses.delete(made.id)
    with pytest.raises(openai.BadRequestError, match="no more; send items whole"):
        client.responses.create(model="demo", input=history)


def remembering() -> Any:
    """A graph that answers with how many messages its thread has."""

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [{"role": "assistant", "content": f"{len(state['messages'])} messages"}]}

    graph = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer")
    return graph.compile(checkpointer=InMemorySaver())


def test_previous_response_goes_on_its_thread(serve: Serve, settings: Settings) -> None:
    """Where the chain keeps threads, an earlier response names its own; a new one begins another."""
    served = serve(create_app(settings, chain=remembering()))
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        first = client.responses.create(model="chain", input="One?")
        second = client.responses.create(
            model="chain", input="Two?", instructions="Be brief.", previous_response_id=first.id
        )
        other = client.responses.create(model="chain", input="One?")
        assert ["1 messages", "3 messages", "1 messages"] == [
            response.output_text for response in (first, second, other)
        ]
        assert first.id == second.previous_response_id
        with pytest.raises(openai.BadRequestError, match="no response"):
            client.responses.create(model="chain", input="Two?", previous_response_id="resp_0")
        with pytest.raises(openai.BadRequestError, match="one message"):
            history: Any = [{"role": "user", "content": "One?"}, {"role": "user", "content": "Two?"}]
            client.responses.create(model="chain", input=history, previous_response_id=first.id)


def test_what_codex_sends(served: Served, upstream: DemoOllama) -> None:
    """Its parameters, tools and history are taken; what can't be done is left out, and it is told so."""
    said = [{"type": "input_text", "text": "Why?"}]
    items = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<permissions>"}]},
        {"type": "message", "role": "user", "content": said},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": None},
        {"type": "function_call", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "c1"},
        {"type": "function_call_output", "call_id": "c1", "output": "README.md"},
    ]
    answer = send(
        served,
        model="demo:tool-call",
        instructions="You are a coding agent.",
        input=items,
        tools=[
            {**WEATHER, "strict": False},
            {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark"}},
            {"type": "web_search"},
            {"type": "local_shell"},
        ],
        tool_choice="auto",
        parallel_tool_calls=False,
        reasoning={"effort": None, "summary": "auto"},
        store=False,
        stream=True,
        include=["reasoning.encrypted_content"],
        prompt_cache_key="0199",
        client_metadata={"session": "0199"},
        text={"verbosity": "medium"},
    )
    assert 200 == answer.status_code, answer.text
    check_stream(events_of(answer.content))
    ignored = {"client_metadata", "include", "tools_apply_patch", "tools_web_search", "tools_local_shell"}
    assert ignored == set(answer.headers["x-llmstream-ignored"].split(", "))
    sent = upstream.requests[-1].body["messages"]
    assert ["system", "system", "user", "assistant", "tool"] == [message["role"] for message in sent]
    assert "Hm." == sent[3]["thinking"]


def test_paths_that_are_not_there(served: Served) -> None:
    """What OpenAI has beside them is not here, and a sentence says what is."""
    answer = post(f"{served.url}/v1/responses/compact", json={})
    assert 404 == answer.status_code
    assert "/v1/responses" in answer.json()["error"]["message"]
    assert 200 == post(f"{served.url}/ollama/v1/responses", json={"model": "demo", "input": "Why?"}).status_code
