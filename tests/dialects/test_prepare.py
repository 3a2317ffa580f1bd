"""What a chain is given with each request: whatever the dialect, and in its form where that fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import HTTPException
from langchain_core.runnables import RunnableConfig
from starlette.requests import HTTPConnection

from llmstream.demo_ollama import DemoOllama
from llmstream.errors import SettingsError, UpstreamBusy
from llmstream.fastapi import create_app, create_router
from llmstream.http.ask import Ask
from llmstream.http.prepare import Prepared
from llmstream.settings import Settings
from tests.support.answering import strict
from tests.support.asking_graphs import year_graph
from tests.support.serving import Serve, Served, generations

ASKED = [{"role": "user", "content": "Hi"}]
UI = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
AGUI = {"threadId": "t", "runId": "r", "state": {}, "messages": [{"id": "m", **ASKED[0]}], "tools": [], "context": []}
REQUESTS: dict[str, dict[str, Any]] = {
    "/stream": {"question": "Hi"},
    "/stream-with-post": {"question": "Hi"},
    "/nostream": {"question": "Hi"},
    "/v1/chat/completions": {"model": "chain", "messages": ASKED},
    "/v1/responses": {"model": "chain", "input": "Hi"},
    "/v1/messages": {"model": "chain", "messages": ASKED, "max_tokens": 9},
    "/api/chat": {"id": "c", "messages": [UI], "trigger": "submit-message"},
    "/agui": {**AGUI, "forwardedProps": {}},
    "/ollama/api/chat": {"model": "chain", "messages": ASKED, "stream": False},
}


async def answer(question: str, user: str, config: RunnableConfig) -> AsyncIterator[str]:
    """What it was given, in one word."""
    yield f"{user}-{question}-{config.get('configurable', {}).get('tenant')}."


async def prepare(request: HTTPConnection, asked: Ask) -> Prepared:
    """From the headers, and from what is asked."""
    user = request.headers.get("x-user", "nobody")
    return {"inputs": {"user": f"{user}{len(asked.question)}"}, "config": {"configurable": {"tenant": "acme"}}}


def post(served: Served, path: str, **more: Any) -> httpx.Response:
    """The response to a request of one of the dialects."""
    return httpx.post(served.url + path, json=REQUESTS[path] | more, headers={"x-user": "ann"})


@pytest.mark.parametrize("path", REQUESTS)
def test_every_dialect_prepares(path: str, serve: Serve, settings: Settings) -> None:
    """The chain has the values of the request."""
    response = post(serve(create_app(settings, chain=answer, prepare=prepare)), path)
    assert 200 == response.status_code
    assert "ann2-Hi-acme" in response.text


def test_a_thread_is_prepared(serve: Serve, settings: Settings) -> None:
    """A command starts a run with the values of its request, or is refused as the app refuses it."""
    served = serve(create_app(settings, chain=answer, prepare=prepare))
    run = {"assistant_id": "chain", "input": {"messages": [{"type": "human", "content": "Hi"}]}}
    command = {"id": 1, "method": "run.start", "params": run}
    started = httpx.post(f"{served.url}/threads/t/commands", json=command, headers={"x-user": "ann"}).json()
    assert "success" == started["type"], started
    assert "ann2-Hi-acme" in httpx.get(f"{served.url}/runs/{started['result']['run_id']}/events").text


def test_by_get(serve: Serve, settings: Settings) -> None:
    """What an EventSource asks is prepared too, and by a function that is not async."""

    def sync(request: HTTPConnection, asked: Ask) -> Prepared:
        return {"inputs": {"user": request.query_params["question"]}}

    served = serve(create_app(settings, chain=answer, prepare=sync))
    assert "Hey-Hey-None" in httpx.get(f"{served.url}/stream-with-get?question=Hey").text


@pytest.mark.parametrize("path", REQUESTS)
def test_a_refusal_keeps_its_status(path: str, serve: Serve, settings: Settings) -> None:
    """An HTTPException of the app's own, in every dialect."""

    def refuse(request: HTTPConnection, asked: Ask) -> Prepared:
        raise HTTPException(402, "Your month is used up.")

    response = post(serve(create_app(settings, chain=answer, prepare=refuse)), path)
    assert (402, True) == (response.status_code, "Your month is used up." in response.text)


@pytest.mark.parametrize("path", REQUESTS)
def test_a_broken_one_is_a_failure_of_the_server(
    path: str, serve: Serve, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """500 in the dialect's form, without what went wrong, which is in the log."""

    async def broken(request: HTTPConnection, asked: Ask) -> Prepared:
        raise KeyError("secret")

    response = post(serve(create_app(settings, chain=answer, prepare=broken)), path)
    assert (500, True, False) == (
        response.status_code,
        "could not prepare this question" in response.text,
        "secret" in response.text,
    )
    assert "prepare failed" in caplog.text
    assert "secret" in caplog.text


def test_an_error_of_ours_is_told(serve: Serve, settings: Settings) -> None:
    """With its own status."""

    def busy(request: HTTPConnection, asked: Ask) -> Prepared:
        raise UpstreamBusy("The tenant's database is away.")

    response = post(serve(create_app(settings, chain=answer, prepare=busy)), "/stream")
    assert (503, "The tenant's database is away.") == (response.status_code, response.json()["message"])


def test_a_misspelled_value_is_told(serve: Serve, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is left out in silence."""
    wrong: Any = lambda request, asked: {"input": {}}  # noqa: E731
    assert 500 == post(serve(create_app(settings, chain=answer, prepare=wrong)), "/stream").status_code
    assert "got input" in caplog.text


def test_inputs_of_a_client(serve: Serve, settings: Settings) -> None:
    """Taken only where the server reads them, and it says what becomes of them."""

    def choose(request: HTTPConnection, asked: Ask) -> Prepared:
        return {"inputs": {"user": asked.inputs["user"].upper()}}

    async def alone(question: str, user: str = "nobody") -> AsyncIterator[str]:
        yield user

    given = {"inputs": {"user": "bob", "admin": True}}
    assert "BOB-Hi-None" in post(serve(create_app(settings, chain=answer, prepare=choose)), "/stream", **given).text
    refused = post(serve(create_app(settings, chain=alone)), "/stream", **given)
    assert (422, "invalid_request") == (refused.status_code, refused.json()["code"])
    assert 422 == post(serve(create_app(settings)), "/stream", **given).status_code


def test_a_thread_of_the_servers_own(serve: Serve, settings: Settings) -> None:
    """In the place of the client's: one conversation for each user, wherever he comes from."""
    seen: list[str | None] = []

    def prepare(request: HTTPConnection, asked: Ask) -> Prepared:
        seen.append(asked.thread)
        return {"thread": "of ann"}

    told: list[str | None] = []
    app = create_app(settings, chain=year_graph(), prepare=prepare, on_end=lambda run: told.append(run.thread))
    served = serve(app)
    post(served, "/stream", thread="client's")
    served.stop()
    assert ["client's"] == seen
    assert ["of ann"] == told


def test_a_cut_answer_is_prepared_to_go_on(upstream: DemoOllama, serve: Serve, settings: Settings) -> None:
    """Who may ask no more can't go on either, and is told so in the app's own words."""
    seen: list[tuple[str, str | None]] = []

    def prepare(request: HTTPConnection, asked: Ask) -> None:
        seen.append((asked.question, asked.continues))
        if "x-used-up" in request.headers:
            raise HTTPException(402, "Your month is used up.")

    url = serve(create_app(settings, chain=strict("demo:length", base_url=upstream.url), prepare=prepare)).url
    run_id = httpx.post(f"{url}/stream", json={"question": "Hi"}).headers["x-run-id"]
    before = generations(upstream)
    refused = httpx.post(f"{url}/runs/{run_id}/continue", headers={"x-used-up": "1"})
    assert (402, "Your month is used up.") == (refused.status_code, refused.json()["detail"])
    assert before == generations(upstream)
    assert 201 == httpx.post(f"{url}/runs/{run_id}/continue").status_code
    assert [("Hi", None), ("", run_id), ("", run_id)] == seen


def test_only_for_a_chain_of_ones_own(settings: Settings) -> None:
    """The default one has nothing to give it to."""
    for make in (create_app, create_router):
        with pytest.raises(SettingsError, match="chain of your own"):
            make(settings=settings, prepare=prepare)
