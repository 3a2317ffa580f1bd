"""Requests that are refused: unknown runs, full places, limits of a caller, models that are not in the list."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.faultkit import ask, following, start
from tests.support.http_runs import FIELDS, events
from tests.support.serving import Serve, generations


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
