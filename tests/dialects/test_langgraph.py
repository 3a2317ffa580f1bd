"""LangChain's Agent Streaming Protocol: its threads, what their streams show, and what is refused."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import HTTPConnection

from llmstream.demo_ollama import DemoOllama
from llmstream.dialects.langgraph.encoder import RunEncoder
from llmstream.events import Event, Finished, Started, Timings, Token, ToolCall, ToolResult, Usage
from llmstream.fastapi import create_app, create_router
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from tests.support.agent_protocol import BEFORE, RUN, Fields, command, start, state, streaming, until
from tests.support.asking_graphs import mail_graph
from tests.support.golden import forever
from tests.support.pixel import PIXEL
from tests.support.serving import Serve, Served, get, post


def contents(told: Fields) -> list[str]:
    """The texts of a state's messages."""
    return [message["content"] for message in told["values"]["messages"]]


def test_replayed_events_are_the_same(served: Served) -> None:
    """Every stream of a thread has the same events, under either address."""
    start(served)
    with streaming(served) as first, streaming(served, path="stream") as second:
        assert until(first, "completed") == until(second, "completed")


def test_stream_stays_open_for_the_next_run(served: Served, upstream: DemoOllama) -> None:
    """A run that is started later comes on the same stream, numbered further; the model sees the conversation."""
    upstream.answers.update({"Why?": "Because.", "And?": "So."})
    with streaming(served) as events:  # before the thread has begun
        start(served)
        first = until(events, "completed")
        begun = start(served, [{"type": "human", "content": "And?", "id": "mine"}])
        second = until(events, "completed")
    assert first[-1]["seq"] <= begun["meta"]["applied_through_seq"] < second[0]["seq"]
    messages = second[-2]["params"]["data"]["messages"]
    assert ["Why?", "Because.", "And?", "So."] == [each["content"] for each in messages]
    assert "mine" == messages[2]["id"]
    assert ["user", "assistant", "user"] == [each["role"] for each in upstream.requests[-1].body["messages"]]
    assert contents(state(served)) == ["Why?", "Because.", "And?", "So."]


def test_request_that_comes_again(serve: Serve, settings: Settings) -> None:
    """With its key it is the same run, which goes on, also where another has replaced it meanwhile."""
    served, key = serve(create_app(settings, chain=forever)), {"idempotency-key": "k"}
    first, again = (start(served, headers=key)["result"]["run_id"] for _ in range(2))
    assert (first, "running") == (again, get(f"{served.url}/runs/{first}").json()["state"])
    other = start(served, "And?")["result"]["run_id"]
    assert first == start(served, headers=key)["result"]["run_id"]
    states = [get(f"{served.url}/runs/{run}").json()["state"] for run in (first, other)]
    assert ["cancelled", "running"] == states


def test_continued_answer_is_the_thread_s(served: Served, upstream: DemoOllama) -> None:
    """Where an answer of the thread was cut and continued, the next question is asked after the whole of it."""
    upstream.answers["And?"] = "So."
    cut = start(served, config={"configurable": {"model": "demo:length"}})["result"]["run_id"]
    get(f"{served.url}/runs/{cut}/events")
    before = contents(state(served))
    more = post(f"{served.url}/runs/{cut}/continue").json()["run_id"]
    get(f"{served.url}/runs/{more}/events")
    after = contents(state(served))
    assert before[0] == after[0]
    assert after[1].startswith(before[1])
    assert len(after[1]) > len(before[1])
    get(f"{served.url}/runs/{start(served, 'And?')['result']['run_id']}/events")
    assert ["Why?", after[1], "And?"] == [each["content"] for each in upstream.requests[-1].body["messages"]]


def test_stream_has_heartbeats_between_runs(serve: Serve, settings: Settings) -> None:
    """A client hears of the server, and does not take the silence for its end."""
    served = serve(create_app(settings.change(model="demo", heartbeat_s=0.05)))
    body = {"channels": ["lifecycle"]}
    with httpx.stream("POST", f"{served.url}/threads/t/stream", json=body, timeout=30) as response:
        assert any(b": ping\n" in piece for piece in response.iter_raw())


def test_idle_stream_ends_with_the_server(serve: Serve, settings: Settings) -> None:
    """A server that goes down waits for nobody who waits for a run."""
    served = serve(create_app(settings.change(model="demo")))
    start(served)
    with streaming(served) as events:
        until(events, "completed")
        served.stop()
        assert [] == list(events)


def test_idle_stream_ends_after_a_time(serve: Serve, settings: Settings) -> None:
    """Who waits for a run is held for as long as one may take, before the first one and after the last."""
    served = serve(create_app(settings.change(model="demo", max_run_s=1)))
    with streaming(served, thread="of nobody") as events:
        assert [] == list(events)
    start(served)
    with streaming(served) as events:
        until(events, "completed")
        assert [] == list(events)


def test_new_question_replaces_the_run(serve: Serve, settings: Settings) -> None:
    """The run before ends, what it said is kept, and the client hears of no end of the thread."""
    served = serve(create_app(settings.change(model="demo:endless-100")))
    first = start(served)["result"]["run_id"]
    with streaming(served) as events:
        for event in events:
            if event["params"]["data"].get("event") == "content-block-delta":
                break
        second = start(served, "Again?", multitask_strategy="interrupt")["result"]["run_id"]
        came = until(events, "interrupted") + until(events, "running")
    assert "failed" not in str([each["params"]["data"].get("event") for each in came])
    assert "cancelled" == get(f"{served.url}/runs/{first}").json()["state"]
    told = state(served)
    assert (["chain"], "Why?", "Again?") == (told["next"], contents(told)[0], contents(told)[-1])
    assert contents(told)[1].startswith(" 1")
    refused = start(served, "No!", multitask_strategy="reject")
    assert ("error", "invalid_argument") == (refused["type"], refused["error"])
    assert "not_supported" == start(served, "Wait", multitask_strategy="enqueue")["error"]
    assert 202 == post(f"{served.url}/threads/t/runs/{second}/cancel?wait=1&action=interrupt").status_code
    assert [] == state(served)["next"]


def test_graph_tells_its_thread_when_the_log_has_forgotten(serve: Serve, settings: Settings) -> None:
    """A graph's own memory is asked, and what it waits for can still be answered."""
    served = serve(create_app(settings.change(replay_s=0), chain=mail_graph()))
    start(served, "Mail ann.")
    with httpx.Client() as client:
        told: Fields = {}
        while not told.get("tasks"):
            told = client.get(f"{served.url}/threads/t/state").json()
    assert ["Mail ann.", "I would send a mail."] == contents(told)
    ((asked,),) = [task["interrupts"] for task in told["tasks"]]
    answer = {"decisions": [{"type": "reject"}]}
    begun = command(served, "input.respond", interrupt_id=asked["id"], response=answer, namespace=[])
    assert "success" == begun["type"]


def test_interrupt_in_the_stream(asking: Served) -> None:
    """What is asked is told before the end; a wrong answer is refused, a right one goes on, all of one thread."""
    start(asking, "Mail ann.")
    with streaming(asking) as events:
        came = until(events, "interrupted")
        (asked,) = [each["params"]["data"] for each in came if each["method"] == "input.requested"]
        for wrong in ({"interrupt_id": "x", "response": 1}, {"response": 1}):
            assert "no_such_interrupt" == command(asking, "input.respond", **wrong)["error"]
        update = command(asking, "input.respond", interrupt_id=asked["interrupt_id"], update={"a": 1})
        assert "not_supported" == update["error"]
        answer = {"interrupt_id": asked["interrupt_id"], "response": {"decisions": [{"type": "approve"}]}}
        assert "success" == command(asking, "input.respond", responses=[answer])["type"]
        tools = [each["params"]["data"] for each in until(events, "completed") if each["method"] == "tools"]
    assert [("tool-started", "send_mail"), ("tool-finished", None)] == [
        (each["event"], each.get("tool_name")) for each in tools
    ]


def test_threads_belong_to_their_caller(settings: Settings, serve: Serve) -> None:
    """Nobody sees, follows or stops another's runs, under the same thread's name."""

    async def who(request: HTTPConnection) -> str | None:
        return request.headers.get("who")

    app = FastAPI()
    app.state.runs = runs = Runs(settings)
    app.include_router(create_router(forever, runs=runs, identify=who, protocols=["langgraph", "native"]))
    served = serve(app)
    run = start(served, headers={"who": "ann"})["result"]["run_id"]
    ann, bob = ({"who": name} for name in ("ann", "bob"))
    assert 200 == get(f"{served.url}/threads/t/state", headers=ann).status_code
    assert 404 == get(f"{served.url}/threads/t/state", headers=bob).status_code
    assert [] == post(f"{served.url}/threads/t/history", json={}, headers=bob).json()
    refused = post(f"{served.url}/threads/t/runs/{run}/cancel", headers=bob)
    assert (404, "no_such_run") == (refused.status_code, refused.json()["error"])
    nobody = get(f"{served.url}/threads/t/state")
    assert (401, "permission_denied") == (nobody.status_code, nobody.json()["error"])
    assert 202 == post(f"{served.url}/threads/t/runs/{run}/cancel", headers=ann).status_code


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("run.dance", {}, "unknown_command"),
        ("state.fork", {"checkpoint_id": "x"}, "not_supported"),
        ("input.inject", {}, "not_supported"),
        ("run.start", {}, "invalid_argument"),
        ("run.start", {"input": {"messages": []}}, "invalid_argument"),
        ("run.start", {"input": {"messages": "x", "todos": [1]}}, "invalid_argument"),
        ("run.start", {"input": {"messages": [{"type": "remove", "id": "1"}]}}, "invalid_argument"),
        ("run.start", {"input": {"messages": [{"type": "human", "content": [{"type": "video"}]}]}}, "invalid_argument"),
        (
            "run.start",
            {"input": {"messages": "x"}, "config": {"configurable": {"checkpoint_id": "c"}}},
            "not_supported",
        ),
        ("input.respond", {"interrupt_id": "i", "response": 1}, "no_such_interrupt"),
    ],
)
def test_what_is_refused(served: Served, method: str, params: Fields, code: str) -> None:
    """By the protocol's error, with a sentence."""
    answer = command(served, method, **params)
    assert ("error", code) == (answer["type"], answer["error"])
    assert answer["message"].endswith(".")


def test_body_that_is_no_command(served: Served) -> None:
    """It has no id to answer to."""
    answer = post(f"{served.url}/threads/t/commands", json={"method": "run.start"})
    assert (400, "error", None) == (answer.status_code, answer.json()["type"], answer.json()["id"])


def test_blocks_are_read(keeping: tuple[Served, list[Any]]) -> None:
    """Texts, images and an earlier call with its result reach the model, and stand in the thread as they came."""
    image = {"type": "image", "base64": PIXEL, "mime_type": "image/png"}
    call = {"id": "c1", "name": "look", "args": {"at": "sky"}}
    said = [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "So."}]
    given: list[Fields] = [
        {"role": "user", "type": "human", "content": [{"type": "text", "text": "What is it?"}, image]},
        {"type": "ai", "content": said, "tool_calls": [call]},
        {"type": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "Blue."}, image]},
        {"role": "system", "content": "Be brief."},
        {"type": "human", "content": "And?"},
    ]
    served, got = keeping
    start(served, given)
    with streaming(served) as events:
        until(events, "completed")
    assert ["human", "ai", "tool", "system", "human"] == [each.type for each in got]
    shown = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    assert [True, True] == [shown in got[place].content for place in (0, 2)]
    assert ("So.", "look", {"at": "sky"}) == (
        got[1].content,
        got[1].tool_calls[0]["name"],
        got[1].tool_calls[0]["args"],
    )
    told = state(served)["values"]["messages"]
    assert [each["content"] for each in given] == [each["content"] for each in told[:-1]]


@pytest.mark.parametrize("more", [[], [{"type": "human", "content": "And?"}]])
def test_thoughts_before_a_call(served: Served, upstream: DemoOllama, more: list[Fields]) -> None:
    """A model that called a tool gets back what it thought before, and not once its turn is over."""
    said = [{"type": "reasoning", "reasoning": "Hm."}]
    call = {"id": "c1", "name": "look", "args": {}}
    asked = {"type": "ai", "content": said, "tool_calls": [call]}
    start(served, [*BEFORE, asked, {"type": "tool", "tool_call_id": "c1", "content": "Blue."}, *more])
    with streaming(served) as events:
        until(events, "completed")
    told = upstream.requests[-1].body["messages"][1]
    assert ("assistant", None if more else "Hm.") == (told["role"], told.get("thinking"))


def test_conversation_has_a_limit(serve: Serve, settings: Settings) -> None:
    """A thread that outgrows what a request may hold is refused, and goes on to be readable."""
    served = serve(create_app(settings.change(model="demo", max_body_bytes=3000)))
    for size in (1000, 1500):
        answer = start(served, "x" * size)
        assert "success" == answer["type"], answer
    refused = start(served, "x" * 1500)
    assert ("invalid_argument", True) == (refused["error"], "new thread" in refused["message"])


def test_tool_of_an_agent() -> None:
    """A call is a block of its message and an event of its own, and its result a message."""
    line: list[Event] = [
        Started("m", 1.5),
        Token("Look.", "m1"),
        ToolCall("", "f", {"a": 1}, "m1"),
        ToolCall("c2", "g", {}, "m1"),
        ToolResult("c2", {"b": [1, None]}),
        ToolResult("gone", 1),
        Token("Done.", "m2"),
        Finished("stop", Usage(), Timings()),
    ]
    encoder = RunEncoder(RUN, BEFORE)
    encoder.encode(1, line)
    human, asks, result, answer = encoder.transcript.told()
    assert (["f", "g"], "Look.") == ([call["name"] for call in asks["tool_calls"]], asks["content"])
    assert ("tool", "c2", '{"b": [1, null]}') == (result["type"], result["tool_call_id"], result["content"])
    assert ("Why?", "Done.") == (human["content"], answer["content"])
