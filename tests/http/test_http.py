"""Runs over HTTP: start, follow, look, stop, go on; on a real server, over real sockets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.faultkit import ask, start
from tests.support.http_runs import FIELDS, SENTENCE, events
from tests.support.real_ollama import RealOllama
from tests.support.serving import Serve, generations


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
    told = {
        "run_id",
        "state",
        "text",
        "reasoning",
        "last_id",
        "model",
        "usage",
        "timings",
        "error",
        "interrupts",
        "reason",
    }
    assert told == set(shown)
    assert ("finished", " 1 2 3 4 5", 7, None) == (shown["state"], shown["text"], shown["last_id"], shown["error"])
    assert shown["timings"]["total_s"] > 0
    cut = ask(f"{url}/runs", "POST", question="q", model="demo:length").json["run_id"]
    events(url, cut)
    assert ["stop", "length"] == [ask(f"{url}/runs/{each}").json["reason"] for each in (run, cut)]


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
