"""Runs over HTTP: start, follow, look, stop, and what is refused; on a real server, over real sockets."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import FastAPI
from langchain_core.output_parsers import StrOutputParser

from llmstream import __version__
from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app, create_router
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from tests.support.faultkit import Exchange, ask, following, start
from tests.support.real_ollama import RealOllama
from tests.support.serving import generations, serving

Serve = Callable[[FastAPI], Any]
SENTENCE = "The sky is blue because air scatters blue light more than red light."
FIELDS = {"code", "message", "retryable"}


@pytest.fixture
def url(settings: Settings, serve: Serve) -> str:
    """A server with short times."""
    quick = settings.change(drain_s=0, grace_s=0.2, heartbeat_s=0.05, model="demo:tokens-5")
    return str(serve(create_app(quick)).url)


@pytest.fixture(scope="module")
def shared() -> Iterator[str]:
    """One server for all the requests that change nothing on it."""
    with DemoOllama(tokens_per_s=None, scenarios=True) as upstream:
        settings = Settings(ollama_url=upstream.url, demo="never", model="demo:tokens-5")
        with serving(create_app(settings)) as served:
            yield served.url


def events(url: str, run: str, **headers: str) -> Exchange:
    """A run's events, to their end."""
    return ask(f"{url}/runs/{run}/events", headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_a_run_is_started_followed_and_looked_at(url: str) -> None:
    """201 with where everything is; the events; the run as it is."""
    created = ask(f"{url}/runs", "POST", question="q")
    run = created.json["run_id"]
    assert (201, f"/runs/{run}") == (created.status, created.headers["location"])
    assert {"run_id": run, "events_url": f"/runs/{run}/events", "stop_url": f"/runs/{run}/stop"} == created.json
    stream = events(url, run)
    assert (200, run, " 1 2 3 4 5") == (stream.status, stream.headers["x-run-id"], stream.text)
    assert ["started", *["token"] * 5, "finished"] == stream.types
    shown = ask(f"{url}/runs/{run}").json
    told = {"run_id", "state", "text", "reasoning", "last_id", "model", "usage", "timings", "error", "interrupts"}
    assert told == set(shown)
    assert ("finished", " 1 2 3 4 5", 7, None) == (shown["state"], shown["text"], shown["last_id"], shown["error"])
    assert shown["timings"]["total_s"] > 0


def test_the_text_endpoints(url: str, upstream: DemoOllama) -> None:
    """The same answer four ways."""
    upstream.answers["q"] = SENTENCE
    model = {"model": "demo"}
    assert SENTENCE == ask(f"{url}/stream", "POST", question="q", **model).text
    for answer in (
        ask(f"{url}/stream-with-get?question=q"),
        ask(f"{url}/stream-with-post", "POST", question="q"),
    ):
        assert " 1 2 3 4 5" == "".join(message.data for message in answer.messages)
        assert "done" == answer.messages[-1].event
    assert {"answer": " 1 2 3 4 5"} == ask(f"{url}/nostream", "POST", question="q").json


def test_messages_context_thinking_and_options(url: str, upstream: DemoOllama) -> None:
    """What a request may hold reaches the model."""
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    stream = ask(f"{url}/stream", "POST", messages=messages, options={"temperature": 0.5, "seed": 7})
    assert "finished" == stream.types[-1]
    body = upstream.requests[-1].body
    assert messages == [{"role": m["role"], "content": m["content"]} for m in body["messages"]]
    assert {"temperature": 0.5, "seed": 7}.items() <= body["options"].items()


def test_thinking_is_events_of_its_own(url: str) -> None:
    """The model's thinking comes before the answer, in events that are not text."""
    stream = ask(f"{url}/stream", "POST", question="q", model="demo:thinking", thinking=True)
    assert "Let me think." == "".join(event["text"] for event in stream.events if event["type"] == "reasoning")
    assert SENTENCE == stream.text


@pytest.mark.parametrize("path", ["/runs", "/stream"])
@pytest.mark.parametrize("way", ["header", "field"])
def test_a_double_click_asks_once(path: str, way: str, url: str, upstream: DemoOllama) -> None:
    """The same key at the same time is one run, and one request to Ollama."""
    fields: dict[str, Any] = {"question": "q"} | ({"request_id": "k"} if way == "field" else {})
    headers = {"idempotency-key": "k"} if way == "header" else {}
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask, f"{url}{path}", "POST", headers=headers, **fields) for _ in range(6)]
        answers = [each.result() for each in asked]
    if path == "/runs":
        assert 1 == len({answer.json["run_id"] for answer in answers})
        assert " 1 2 3 4 5" == events(url, answers[0].json["run_id"]).text
    else:
        assert 1 == len({answer.headers["x-run-id"] for answer in answers})
        assert [" 1 2 3 4 5"] * 6 == [answer.text for answer in answers]
    assert 1 == generations(upstream)


@pytest.mark.parametrize("path", ["/runs", "/stream", "/stream-with-post"])
def test_one_key_is_one_request(path: str, url: str, upstream: DemoOllama) -> None:
    """The same key with another question is 409, and starts nothing."""
    headers = {"idempotency-key": "k"}
    first = ask(f"{url}{path}", "POST", headers=headers, question="q")
    ask(f"{url}/runs/{first.headers.get('x-run-id') or first.json['run_id']}/events")
    before = generations(upstream)
    refused = ask(f"{url}{path}", "POST", headers=headers, question="other")
    assert (409, "key_conflict", FIELDS) == (refused.status, refused.json["code"], set(refused.json))
    assert before == generations(upstream)


def test_positions(url: str, upstream: DemoOllama) -> None:
    """After a position comes the rest, by query or by header, and nothing once there is nothing."""
    run = start(url, question="q")
    whole = events(url, run).types
    for after in range(8):
        by_query = ask(f"{url}/runs/{run}/events?after={after}")
        by_header = events(url, run, last_event_id=f"{run}-{after}")
        assert by_query.types == by_header.types == whole[after:]
        assert (204 if after == 7 else 200) == by_query.status == by_header.status
    assert 1 == generations(upstream)


@pytest.mark.parametrize(
    "last", ["", "-1", "x", "1", "0:1", "{run}", "{run}-", "{run}--1", "{run}-1e3", "{run}-99999999999", "a" * 60_000,
             "{run}-8", "{run}-999999999", "e-3", "{run}-٣", "{run}-1\u00a0"],
)  # fmt: skip
def test_a_position_that_cant_be_honoured_is_told(last: str, shared: str) -> None:
    """Garbage, the future, another run: a reset or a 404 and nothing else, at every address of a stream."""
    run = start(shared, question="q")
    events(shared, run)
    headers = {"last-event-id": last.replace("{run}", run).encode().decode("latin-1")}
    for answer in (
        ask(f"{shared}/runs/{run}/events", headers=headers),
        ask(f"{shared}/stream-with-get?question=q", headers=headers),
        ask(f"{shared}/stream", "POST", headers=headers, question="q"),
        ask(f"{shared}/stream-with-post", "POST", headers=headers, question="q"),
    ):
        told = [message.event for message in answer.messages]
        assert told in (["reset"], ["FatalError"]) or ([], True) == (told, answer.status in (400, 404)), answer.body


@pytest.mark.parametrize("tail", ["0", "3"])
def test_another_runs_position_never_gives_its_data(tail: str, url: str) -> None:
    """An id of run A at run B's address is a reset."""
    a, b = start(url, question="a"), start(url, question="b")
    stream = events(url, b, last_event_id=f"{a}-{tail}")
    assert (["reset"], "other_run", True) == (stream.types, stream.events[0]["reason"], stream.complete)


def test_a_nul_in_a_header_is_refused(url: str) -> None:
    """A NUL in Last-Event-ID does not reach the app."""
    with Exchange(
        url, raw=b"GET /stream-with-get?question=q HTTP/1.1\r\nhost: localhost\r\nlast-event-id: a\0b\r\n\r\n"
    ) as it:
        assert 400 == it.all().status


@pytest.mark.parametrize("path", ["/stream", "/stream-with-post"])
def test_a_post_with_a_position_resumes(path: str, url: str, upstream: DemoOllama) -> None:
    """fetch-event-source posts the question again when its tab is shown: it gets the rest, then 204."""
    whole = ask(f"{url}{path}", "POST", question="q")
    for held, message in enumerate(whole.messages, 1):
        rest = ask(f"{url}{path}", "POST", headers={"last-event-id": message.id}, question="q")
        assert whole.messages[held:] == rest.messages
        assert (204 if held == len(whole.messages) else 200) == rest.status
    assert 1 == generations(upstream)


def test_an_eventsource_comes_back_until_it_is_told_to_stop(url: str, upstream: DemoOllama) -> None:
    """GET, cut, GET with the last id, end, GET with the last id: one answer, then 204."""
    address = f"{url}/stream-with-get?question=q"
    with Exchange(address) as first:
        first.until(lambda exchange: len(exchange.messages) >= 2)
        first.close(reset=True)
    last = first.messages[1].id
    second = ask(address, headers={"last-event-id": last})
    text = "".join(message.data for message in [*first.messages[:2], *second.messages])
    assert (" 1 2 3 4 5", "done") == (text, second.messages[-1].event)
    assert 204 == ask(address, headers={"last-event-id": second.messages[-1].id}).status
    assert 1 == generations(upstream)


def test_two_tabs_see_the_same(url: str, upstream: DemoOllama) -> None:
    """A second connection to a run that goes on gets all of it, and starts nothing."""
    run = start(url, question="q", model="demo:stall-3")
    with following(url, run) as first, following(url, run) as second:
        for tab in (first, second):
            tab.until(lambda exchange: exchange.text == " 1 2 3")
        assert 202 == ask(f"{url}/runs/{run}/stop", "POST").status
        assert first.all().messages == second.all().messages
    assert ("cancelled", "stop") == (first.types[-1], first.events[-1]["by"])
    assert upstream.wait_idle()
    assert 1 == generations(upstream)


def test_a_hundred_watchers_are_one_answer(url: str, upstream: DemoOllama) -> None:
    """All of them get every event, and Ollama is asked once."""
    run = start(url, question="q", model="demo:slow-0.3")
    watching = [Exchange(f"{url}/runs/{run}/events") for _ in range(100)]
    streams = [exchange.all() for exchange in watching]
    assert {SENTENCE} == {stream.text for stream in streams}
    assert 1 == len({tuple(stream.messages) for stream in streams})
    assert 1 == generations(upstream)


def test_stopping(url: str, upstream: DemoOllama) -> None:
    """202 while it goes on, 204 after, 404 for what never was; Ollama is left."""
    run = start(url, question="q", model="demo:silent")
    assert upstream.wait_active()
    stopped = ask(f"{url}/runs/{run}/stop", "POST")
    assert (202, b"") == (stopped.status, stopped.body)
    assert upstream.wait_idle()
    assert 204 == ask(f"{url}/runs/{run}/stop", "POST").status
    assert 404 == ask(f"{url}/runs/{'0' * 32}/stop", "POST").status
    assert "cancelled" == ask(f"{url}/runs/{run}").json["state"]


def test_continuing(url: str, upstream: DemoOllama) -> None:
    """201 with the new run, which begins with the kept text; 409 while it goes on, 422 with why, 404 for none."""
    upstream.answers["q"] = SENTENCE
    cut = start(url, question="q", model="demo:length")
    kept = events(url, cut).text
    created = ask(f"{url}/runs/{cut}/continue", "POST")
    run = created.json["run_id"]
    assert (201, f"/runs/{run}") == (created.status, created.headers["location"])
    assert {"run_id": run, "events_url": f"/runs/{run}/events", "stop_url": f"/runs/{run}/stop"} == created.json
    stream = events(url, run)
    assert ["started", "token", "continued"] == stream.types[:3]
    assert (kept, cut) == (stream.events[1]["text"], stream.events[2]["of"])
    assert SENTENCE.startswith(stream.text)
    assert len(stream.text) > len(kept)
    again = [ask(f"{url}/runs/{cut}/continue", "POST", headers={"idempotency-key": "k"}).json for _ in range(2)]
    assert again[0] == again[1]

    whole, going = start(url, question="q", model="demo:one-chunk"), start(url, question="q", model="demo:silent")
    events(url, whole)
    refused = {run: ask(f"{url}/runs/{run}/continue", "POST") for run in (whole, going, "0" * 32)}
    assert [(422, "invalid_request"), (409, "still_running"), (404, "run_not_found")] == [
        (each.status, each.json["code"]) for each in refused.values()
    ]
    assert "This answer is complete: there is nothing to continue." == refused[whole].json["message"]
    assert FIELDS == set(refused[going].json)


def test_unknown_expired_and_foreign_runs_look_alike(settings: Settings, serve: Serve) -> None:
    """The same status, headers and body for each, at every address of a run, from any position."""
    app = create_app(settings.change(drain_s=0, replay_s=0), identify=lambda request: request.headers.get("x-user"))
    url = serve(app).url
    ann, bob = {"x-user": "ann"}, {"x-user": "bob"}
    expired = ask(f"{url}/stream", "POST", headers=ann, question="q", model="demo:tokens-2")
    foreign = ask(f"{url}/runs", "POST", headers=bob, question="q", model="demo:silent").json["run_id"]
    last = expired.messages[-1].id
    answers = []
    for run in (foreign[:8] + "0" * 24, last.rpartition("-")[0], foreign, "x"):
        for method, path in (
            ("GET", ""),
            ("GET", "/events"),
            ("GET", "/events?after=3"),
            ("POST", "/stop"),
            ("POST", "/continue"),
        ):
            answers.append(ask(f"{url}/runs/{run}{path}", method, headers=ann))
        answers.append(ask(f"{url}/stream", "POST", headers={**ann, "last-event-id": f"{run[:32]}-1"}, question="q"))
    seen = {(each.status, each.body, *sorted(each.headers)) for each in answers}
    assert 1 == len(seen)
    assert 404 == seen.pop()[0]
    assert 401 == ask(f"{url}/runs/{foreign}").status
    assert "running" == ask(f"{url}/runs/{foreign}", headers=bob).json["state"]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({}, 422, "invalid_request"),
        ({"question": ""}, 422, "invalid_request"),
        ({"question": 5}, 422, "invalid_request"),
        ({"question": "q", "messages": [{"role": "user", "content": "q"}]}, 422, "invalid_request"),
        ({"messages": []}, 422, "invalid_request"),
        ({"messages": [{"role": "tool", "content": "q"}]}, 422, "invalid_request"),
        ({"question": "q", "base_url": "http://evil.example"}, 422, "invalid_request"),
        ({"question": "q", "headers": {"x": "y"}}, 422, "invalid_request"),
        ({"question": "q", "options": {"num_gpu": 1}}, 422, "invalid_request"),
        ({"question": "q", "on_leave": "stay"}, 422, "invalid_request"),
        ({"question": "q", "request_id": "k" * 201}, 422, "invalid_request"),
        ({"question": "q", "model": "missing"}, 404, "model_not_found"),
        ({"question": "q", "model": "big-cloud"}, 403, "model_not_allowed"),
        ({"question": "q", "model": "big:cloud"}, 403, "model_not_allowed"),
        ({"question": "q" * 70_000}, 413, "body_too_large"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], status: int, code: str, shared: str) -> None:
    """Every refusal is a status with code, message and whether to ask again."""
    for path in ("/runs", "/stream"):
        refused = ask(f"{shared}{path}", "POST", body=json.dumps(fields).encode())
        assert (status, code, FIELDS) == (refused.status, refused.json["code"], set(refused.json))
        assert isinstance(refused.json["retryable"], bool)


def test_full_places_are_503_with_retry_after(settings: Settings, serve: Serve, upstream: DemoOllama) -> None:
    """Over places and queue a POST is told when to come back; one in the queue sees its position."""
    url = serve(create_app(settings.change(drain_s=0, max_active_runs=1, max_queued_runs=2))).url
    first = start(url, question="q", model="demo:silent")
    waiting = [start(url, question="q", model="demo:tokens-3") for _ in range(2)]
    for path in ("/runs", "/stream", "/stream-with-post", "/nostream"):
        refused = ask(f"{url}{path}", "POST", question="q")
        assert (503, "busy", True) == (refused.status, refused.json["code"], refused.json["retryable"])
        assert int(refused.headers["retry-after"]) > 0
    with following(url, waiting[1]) as second:
        second.until(lambda exchange: "status" in exchange.types)
        ask(f"{url}/runs/{first}/stop", "POST")
        events = second.all().events
    assert [2, 1] == [event["position"] for event in events if event["type"] == "status"]
    assert " 1 2 3" == second.text


def test_a_callers_limit_is_429(settings: Settings, serve: Serve) -> None:
    """One caller is refused, another is not."""
    app = create_app(
        settings.change(drain_s=0, max_caller_runs=1), identify=lambda request: request.headers.get("x-user")
    )
    url = serve(app).url
    ann, bob = {"x-user": "ann"}, {"x-user": "bob"}
    ask(f"{url}/runs", "POST", headers=ann, question="q", model="demo:silent")
    refused = ask(f"{url}/runs", "POST", headers=ann, question="q")
    assert (429, "too_many_runs", True) == (refused.status, refused.json["code"], refused.json["retryable"])
    assert 201 == ask(f"{url}/runs", "POST", headers=bob, question="q", model="demo:tokens-2").status


def test_a_key_belongs_to_its_caller(settings: Settings, serve: Serve) -> None:
    """The same key of two callers is two runs, each caller's own; of one caller it is one."""
    url = serve(create_app(settings.change(drain_s=0), identify=lambda request: request.headers.get("x-user"))).url
    fields = {"question": "q", "model": "demo:tokens-2", "request_id": "k"}
    asked = [ask(f"{url}/runs", "POST", headers={"x-user": user}, **fields) for user in ("ann", "bob", "ann")]
    ann, bob, again = (answer.json["run_id"] for answer in asked)
    assert (True, False) == (ann == again, ann == bob)
    assert " 1 2" == events(url, bob, x_user="bob").text
    assert 404 == events(url, bob, x_user="ann").status


@pytest.mark.parametrize("path", ["/runs", "/stream"])
def test_a_model_that_is_not_in_the_list_is_refused(
    path: str, settings: Settings, serve: Serve, upstream: DemoOllama
) -> None:
    """Also one that is there; and a client sees only those of the list."""
    url = serve(create_app(settings.change(drain_s=0, allowed_models=("demo",), model="demo"))).url
    refused = ask(f"{url}{path}", "POST", question="q", model="demo-thinking")
    assert (403, "model_not_allowed", 0) == (refused.status, refused.json["code"], generations(upstream))
    assert ask(f"{url}{path}", "POST", question="q", model="demo").status in (200, 201)
    assert ["demo:latest"] == [model["name"] for model in ask(f"{url}/models").json["models"]]


def test_health_of_a_chain_of_ones_own(settings: Settings, serve: Serve) -> None:
    """It may need no Ollama, so nothing is missing without one; what answers is the chain, by its name."""
    alone = settings.change(ollama_url="http://127.0.0.1:9")
    url = serve(create_app(alone, chain=lambda question: question, name="mine")).url
    expected = {"status": "ok", "version": __version__, "demo": False, "model": "mine"}
    assert expected == ask(f"{url}/health").json
    takes = {"model": False, "thinking": False, "images": False, "continue": False}
    assert {"models": [], "default": "mine", "takes": takes} == ask(f"{url}/models").json
    of_a_model = serve(create_app(alone, chain=StrictChatOllama(model="demo") | StrOutputParser())).url
    assert ask(f"{of_a_model}/models").json["takes"]["continue"]


def test_two_routers_in_one_app(settings: Settings, serve: Serve) -> None:
    """Each gives out its own addresses."""
    app = FastAPI()
    for prefix in ("/a", "/b"):
        app.state.runs = runs = Runs(settings)
        app.include_router(create_router(runs=runs), prefix=prefix)
    url = serve(app).url
    for prefix in ("/a", "/b"):
        created = ask(f"{url}{prefix}/runs", "POST", question="q", model="demo:tokens-2")
        base = f"{prefix}/runs/{created.json['run_id']}"
        urls = (created.headers["location"], created.json["events_url"], created.json["stop_url"])
        assert (base, f"{base}/events", f"{base}/stop") == urls
        assert " 1 2" == ask(url + urls[1]).text


def test_models_and_health(url: str, upstream: DemoOllama) -> None:
    """What a client may ask for, and whether it can be answered."""
    models = ask(f"{url}/models").json
    assert {model["name"] for model in models["models"]} == set(upstream.models)
    assert "demo:tokens-5" == models["default"]
    health = ask(f"{url}/health").json
    assert ("ok", False, True) == (health["status"], health["demo"], health["ollama"]["reachable"])


def test_health_without_ollama(upstream: DemoOllama, url: str) -> None:
    """The server lives without Ollama and says so, in words that name no path."""
    upstream.close()
    health = ask(f"{url}/health")
    assert (200, "degraded", False) == (health.status, health.json["status"], health.json["ollama"]["reachable"])
    assert "upstream_unreachable" == health.json["error"]["code"]
    assert 502 == ask(f"{url}/models").status
    upstream.start()
    assert "ok" == ask(f"{url}/health").json["status"]


def test_runs_can_be_shared(settings: Settings, serve: Serve) -> None:
    """A run started in the process is followed over HTTP."""
    runs = Runs(settings)
    served = serve(create_app(settings, runs=runs))
    run = start(served.url, question="q", model="demo:tokens-2")
    assert served.runs is runs
    assert " 1 2" == events(served.url, run).text


def test_the_api_describes_its_events(url: str) -> None:
    """OpenAPI lists every endpoint and every type of event; the page for it asks no other host."""
    schema = ask(f"{url}/openapi.json").json
    assert {"/stream", "/runs", "/runs/{run_id}/events", "/nostream", "/health"} <= set(schema["paths"])
    stream = schema["paths"]["/stream"]["post"]["responses"]["200"]["content"]["text/event-stream"]
    data = stream["itemSchema"]["properties"]["data"]["contentSchema"]
    types = {each["properties"]["type"].get("enum", [None])[0] for each in data["oneOf"]}
    assert {"started", "token", "reasoning", "status", "tool_call", "finished", "failed", "cancelled"} <= types
    page = ask(f"{url}/docs")
    assert (200, False) == (page.status, any(host in page.body for host in (b"//cdn", b"https://", b"unpkg")))
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert 200 == ask(f"{url}/docs/assets/swagger-ui-bundle.js").status
    chat = ask(f"{url}/")
    assert (200, "text/html") == (chat.status, chat.headers["content-type"].partition(";")[0])


def test_a_sync_chain_holds_up_nobody_else(settings: Settings, serve: Serve) -> None:
    """A generator that blocks does so in a thread of its own: other answers come meanwhile."""
    gate = threading.Event()

    def chain(question: str) -> Iterator[str]:
        if question == "slow":
            assert gate.wait(timeout=30)
        yield f"{question}!"

    url = serve(create_app(settings, chain=chain)).url
    with Exchange(f"{url}/stream", "POST", question="slow") as slow:
        assert "fast!" == ask(f"{url}/stream", "POST", question="fast").text
        gate.set()
        assert "slow!" == slow.all().text


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_a_clock_that_jumps_ends_nothing(
    jump_s: float, settings: Settings, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the time of day is set anew, runs go on, ended ones stay readable, and keys stay known."""
    url = serve(create_app(settings)).url
    ended = ask(f"{url}/stream", "POST", question="q", model="demo:tokens-2", request_id="key")
    with Exchange(f"{url}/stream", "POST", question="q", model="demo:stall-3") as going:
        going.until(lambda exchange: exchange.text == " 1 2 3")
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + jump_s)
        assert ended.messages == events(url, ended.headers["x-run-id"]).messages
        again = ask(f"{url}/stream", "POST", question="q", model="demo:tokens-2", request_id="key")
        assert ended.headers["x-run-id"] == again.headers["x-run-id"]
        assert "running" == ask(f"{url}/runs/{going.headers['x-run-id']}").json["state"]


def test_a_mounted_app_works_without_its_lifespan(settings: Settings, serve: Serve) -> None:
    """Starlette does not run the lifespan of a mounted app: it answers all the same."""
    runs, parent = Runs(settings), FastAPI()
    parent.mount("/llm", create_app(settings, runs=runs))
    parent.state.runs = runs
    url = f"{serve(parent).url}/llm"
    created = ask(f"{url}/runs", "POST", question="q", model="demo:tokens-2")
    assert f"/llm/runs/{created.json['run_id']}" == created.headers["location"]
    assert " 1 2" == events(url, created.json["run_id"]).text


def test_a_real_ollama_answers_alike_everywhere(real_settings: Settings, serve: Serve) -> None:
    """The same question gives the same text by every endpoint."""
    url = serve(create_app(real_settings.change(drain_s=0))).url
    typed = ask(f"{url}/stream", "POST", question="What color is the sky?")
    plain = ask(f"{url}/stream-with-post", "POST", question="What color is the sky?")
    assert "finished" == typed.types[-1]
    assert typed.text == "".join(message.data for message in plain.messages)
    assert typed.text == ask(f"{url}/nostream", "POST", question="What color is the sky?").json["answer"]


def test_a_stop_frees_a_real_ollama(own_real_ollama: RealOllama, serve: Serve) -> None:
    """A stop from another connection ends the run for everybody, and Ollama is idle."""
    settings = Settings(ollama_url=own_real_ollama.url, model="tiny-chat", demo="never")
    url = serve(create_app(settings)).url
    run = start(url, question="Tell me a very long story.")
    stopped = ask(f"{url}/runs/{run}/stop", "POST").status
    assert ("cancelled" if stopped == 202 else "finished") == events(url, run).types[-1]
    assert own_real_ollama.wait_idle()


@pytest.mark.parametrize("mounted", [False, True])
def test_an_app_may_be_started_again(settings: Settings, mounted: bool) -> None:
    """After its end an app takes new questions when it begins anew, as in the tests of whoever uses it."""
    runs = Runs(settings)
    app = create_app(settings, runs=runs)
    if mounted:
        app = FastAPI()
        app.state.runs = runs
        app.include_router(create_router(runs=runs))
    for _ in range(2):
        with serving(app) as served:
            assert 200 == ask(f"{served.url}/nostream", "POST", question="q").status
