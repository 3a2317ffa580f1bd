"""OpenAI's Responses, with the clients people use, and with what Codex and the Agents SDK send."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from llmstream import sse
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.dialects.responses.encoder import ResponsesEncoder
from llmstream.dialects.responses.kept import whole
from llmstream.dialects.responses.resource import RepeatedFields
from llmstream.events import Cancelled, Event, Failed, Finished, Started, Timings, Token, ToolCall, Usage
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.golden import forever, golden
from tests.support.message_runs import RUNS
from tests.support.npm import EXACT, NOBODY
from tests.support.serving import Served, get, post

Serve = Callable[[FastAPI], Served]

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather now.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": True,
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TERMINAL = {"response.completed", "response.incomplete", "response.failed"}


@pytest.fixture
def served(serve: Serve, settings: Settings) -> Served:
    """A server over the default chain."""
    return serve(create_app(settings.change(model="demo", thinking=False)))


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    """OpenAI's own client."""
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def send(served: Served, **body: Any) -> httpx.Response:
    """One request, read to its end."""
    return post(f"{served.url}/v1/responses", json={"model": "demo", "input": "Why?", **body})


def events_of(body: bytes) -> list[dict[str, Any]]:
    """The events of a stream, each of which has its name in both places."""
    messages = sse.Decoder().feed(body)
    events = [json.loads(message.data) for message in messages]
    assert [message.event for message in messages] == [event["type"] for event in events]
    return events


def check_stream(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The whole response of a stream, which must be told in order, and add up to it."""
    assert [*range(len(events))] == [event["sequence_number"] for event in events]
    assert ["response.created", "response.in_progress"] == [event["type"] for event in events[:2]]
    assert [events[-1]] == [event for event in events if event["type"] in TERMINAL]
    response: dict[str, Any] = events[-1]["response"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    if response["status"] in ("completed", "incomplete"):
        assert done == response["output"]
    for index, item in enumerate(response["output"]):
        told = [event for event in events if event.get("item_id") == item["id"]]
        assert {index} == {event["output_index"] for event in told}
        deltas = "".join(event["delta"] for event in told if event["type"].endswith(".delta"))
        (part, *rest) = item.get("content") or item.get("summary") or [{"text": item.get("arguments")}]
        assert ([], deltas) == (rest, part["text"])
    return response


SCENARIOS: dict[str, dict[str, Any]] = {
    "text": {"model": "demo:one-chunk"},
    "reasoning": {"model": "demo:thinking", "reasoning": {"effort": "high", "summary": "auto"}},
    "tool_call": {"model": "demo:tool-call", "tools": [WEATHER]},
    "error_late": {"model": "demo:error-line"},
    "truncated": {"model": "demo:no-done"},
    "length": {"model": "demo:length"},
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_transcript(served: Served, scenario: str) -> None:
    """The bytes are those of the golden transcript, in the order that is promised."""
    body = send(served, stream=True, **SCENARIOS[scenario]).content
    golden(f"responses_{scenario}", body)
    check_stream(events_of(body))


def test_transcript_of_a_stopped_answer(serve: Serve, settings: Settings) -> None:
    """A response that was stopped has failed to those who read its stream, and is told as cancelled."""
    served = serve(create_app(settings, chain=forever))
    body = {"model": "chain", "input": "Why?", "stream": True}
    with httpx.stream("POST", f"{served.url}/v1/responses", json=body, timeout=30) as response:
        pieces = response.iter_raw()
        came = next(pieces)
        while b"One" not in came:
            came += next(pieces)
        response_id = f"resp_{response.headers['x-run-id']}"
        cancelled = post(f"{served.url}/v1/responses/{response_id}/cancel", json={}).json()
        came += b"".join(pieces)
    golden("responses_stopped", came)
    assert ("cancelled", "cancelled") == (cancelled["status"], check_stream(events_of(came))["status"])


@pytest.mark.parametrize("run", RUNS)
def test_transcript_of_several_messages(run: str) -> None:
    """Agents, withdrawn drafts and pauses, as one text with the calls that are left to the client."""
    body = ResponsesEncoder("0" * 32).encode(1, RUNS[run])
    golden(f"responses_{run}", body, fixed=True)
    check_stream(events_of(body))


ENDED: dict[str, list[Event]] = {
    **RUNS,
    "calls": [
        Started("m", 1.5),
        Token("Let me look."),
        ToolCall("a", "f", {"x": 1}),
        ToolCall("b", "g", {}),
        Finished("tool_calls", Usage(), Timings()),
    ],
    "failed": [Started("m", 1.5), Token("Hal"), Failed("upstream_error", "Broke off.", True)],
    "cancelled": [Started("m", 1.5), Token("Hal"), Cancelled("stop")],
}


@pytest.mark.parametrize("run", ENDED)
@pytest.mark.parametrize("batch", [1, 100])
def test_resumed_after_every_event(run: str, batch: int) -> None:
    """Whatever a client had last, and however events come together, it gets exactly the rest."""
    frames = ResponsesEncoder("0" * 32).encode(1, ENDED[run]).decode().split("\n\n")[:-1]
    for after in range(-1, len(frames)):
        encoder, rest = ResponsesEncoder("0" * 32, after=after), b""
        for first in range(0, len(ENDED[run]), batch):
            rest += encoder.encode(first + 1, ENDED[run][first : first + batch])
        assert frames[after + 1 :] == rest.decode().split("\n\n")[:-1]


def test_cut_at_every_byte(served: Served) -> None:
    """A background response that is cut anywhere and resumed from the last whole event loses and doubles nothing."""
    whole_body = send(served, stream=True, background=True, **SCENARIOS["tool_call"]).content
    events = events_of(whole_body)
    address = f"{served.url}/v1/responses/{events[0]['response']['id']}?stream=true"
    rest = {after: events_of(get(f"{address}&starting_after={after}").content) for after in range(len(events))}
    for cut in range(len(whole_body)):
        had = events_of(whole_body[:cut])
        assert not had or events == had + rest[had[-1]["sequence_number"]]
    assert events == events_of(get(address).content)


def test_position_that_never_was(served: Served, client: openai.OpenAI) -> None:
    """Who asks for what comes after an event that there is not is told so, instead of an end."""
    made = client.responses.create(model="demo", input="Why?")
    with pytest.raises(openai.APIError, match="can't be continued"):
        list(client.responses.retrieve(made.id, stream=True, starting_after=9999))


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


COMPLIANCE: dict[str, dict[str, Any]] = {
    "basic": {"input": [{"type": "message", "role": "user", "content": "Greet me."}]},
    "streaming": {"stream": True, "input": [{"type": "message", "role": "user", "content": "Count to three."}]},
    "system": {
        "input": [
            {"type": "message", "role": "system", "content": "Talk like a sailor."},
            {"type": "message", "role": "user", "content": "Greet me."},
        ]
    },
    "call": {"model": "demo:tool-call", "tools": [WEATHER], "input": [{"role": "user", "content": "Rain in Paris?"}]},
    "streamed call": {"model": "demo:tool-call", "tools": [WEATHER], "stream": True, "input": "Rain in Paris?"},
    "turns": {
        "input": [
            {"type": "message", "role": "user", "content": "I am Bo."},
            {"type": "message", "role": "assistant", "content": "Hello, Bo."},
            {"type": "message", "role": "user", "content": "Who am I?"},
        ]
    },
}
REQUIRED = {
    "id", "object", "created_at", "completed_at", "status", "incomplete_details", "model", "previous_response_id",
    "instructions", "output", "error", "tools", "tool_choice", "truncation", "parallel_tool_calls", "text", "top_p",
    "presence_penalty", "frequency_penalty", "top_logprobs", "temperature", "reasoning", "user", "usage",
    "max_output_tokens", "max_tool_calls", "store", "background", "service_tier", "metadata", "safety_identifier",
    "prompt_cache_key",
}  # fmt: skip


@pytest.mark.parametrize("case", COMPLIANCE)
def test_compliance(served: Served, case: str) -> None:
    """The cases of Open Responses: complete, with every field that its schema demands."""
    answer = send(served, **COMPLIANCE[case])
    assert 200 == answer.status_code, answer.text
    response = check_stream(events_of(answer.content)) if COMPLIANCE[case].get("stream") else answer.json()
    assert set() == REQUIRED - set(response)
    assert ("completed", "response") == (response["status"], response["object"])
    kinds = [item["type"] for item in response["output"]]
    assert ("function_call" if "tools" in COMPLIANCE[case] else "message") in kinds


def test_content_is_read(serve: Serve, settings: Settings) -> None:
    """Instructions, images and files reach the chain as LangChain knows them."""
    got: list[Any] = []

    def keep(prompt: PromptValue) -> str:
        got.extend(prompt.to_messages())
        return "Seen."

    chain = ChatPromptTemplate([MessagesPlaceholder("messages")]) | RunnableLambda(keep)
    served = serve(create_app(settings, chain=chain))
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


def test_what_was_taken_back_is_left_out() -> None:
    """A whole response has no drafts in it, and its items keep their names."""
    response = whole("0" * 32, RepeatedFields(), RUNS["withdrawn"])
    assert ["The answer."] == [item["content"][0]["text"] for item in response["output"]]


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
