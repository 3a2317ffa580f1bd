"""Clients that leave, come back, read slowly or not at all: the model is freed, and nobody else notices."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack

import pytest
from fastapi import FastAPI
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app, create_router
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from tests.support.command import served
from tests.support.faultkit import Exchange, Fault, Proxy, ask, eventually, following, start
from tests.support.serving import Serve

LONG = "demo:tokens-40000"
SENTENCE = "The sky is blue because air scatters blue light more than red light."


@pytest.fixture
def quick(settings: Settings) -> Settings:
    """Settings with a short grace time."""
    return settings.change(grace_s=0.05, hold_s=0.05, model="demo:silent")


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("kind", ["GET", "/stream", "/stream-with-post", "/nostream"])
def test_leaving_before_the_first_token_frees_the_model(
    kind: str, reset: bool, quick: Settings, serve: Serve, upstream: DemoOllama
) -> None:
    """A client that goes while it waits, politely or not, has Ollama left after the grace time."""
    url = serve(create_app(quick)).url
    exchange = (
        Exchange(f"{url}/stream-with-get?question=q")
        if kind == "GET"
        else Exchange(f"{url}{kind}", "POST", question="q")
    )
    assert upstream.wait_active()
    exchange.close(reset=reset)
    assert upstream.wait_idle()


def test_leaving_while_the_headers_are_held_frees_the_model(
    quick: Settings, serve: Serve, upstream: DemoOllama
) -> None:
    """A disconnect is noticed before anything was sent."""
    url = serve(create_app(quick.change(hold_s=600))).url
    exchange = Exchange(f"{url}/stream", "POST", question="q")
    assert upstream.wait_active()
    exchange.close()
    assert upstream.wait_idle()


@pytest.mark.parametrize("kind", ["/stream", "/stream-with-post"])
def test_leaving_in_mid_answer_cancels(kind: str, quick: Settings, serve: Serve, upstream: DemoOllama) -> None:
    """The run ends `cancelled` by leaving, what came is kept, and Ollama is left."""
    url = serve(create_app(quick.change(model="demo:stall-3"))).url
    with Exchange(f"{url}{kind}", "POST", question="q") as stream:
        stream.until(lambda exchange: len(exchange.messages) >= 2)
        run = stream.headers["x-run-id"]
    assert upstream.wait_idle()
    end = ask(f"{url}/runs/{run}/events")
    assert ("cancelled", "left", " 1 2 3") == (end.types[-1], end.events[-1]["by"], end.text)


def test_a_run_that_continues_is_there_on_return(settings: Settings, serve: Serve, upstream: DemoOllama) -> None:
    """By choice a run goes on to its end unwatched."""
    url = serve(create_app(settings.change(grace_s=0))).url
    with Exchange(f"{url}/stream", "POST", question="q", model="demo:slow-0.3", on_leave="continue") as stream:
        assert upstream.wait_active()
        run = stream.until(lambda exchange: exchange.messages).headers["x-run-id"]
    assert upstream.wait_idle()
    back = ask(f"{url}/runs/{run}/events")
    assert ("finished", SENTENCE) == (back.types[-1], back.text)
    assert [True] == [record.finished for record in upstream.requests if record.path == "/api/chat"]


def test_leaving_and_returning_within_the_grace(settings: Settings, serve: Serve, upstream: DemoOllama) -> None:
    """Who comes back in time, again and again, cancels nothing."""
    url = serve(create_app(settings.change(grace_s=20))).url
    run = start(url, question="q", model="demo:slow-0.3")
    for _ in range(5):
        with following(url, run) as stream:
            stream.until(lambda exchange: exchange.messages)
    assert SENTENCE == ask(f"{url}/runs/{run}/events").text
    assert 1 == sum(record.path == "/api/chat" for record in upstream.requests)


def test_the_second_tab_keeps_the_run(quick: Settings, serve: Serve, upstream: DemoOllama) -> None:
    """One of two watchers leaving changes nothing; the other one's leaving ends the run."""
    url = serve(create_app(quick.change(heartbeat_s=0.05))).url
    run = start(url, question="q")
    with following(url, run) as second:
        second.until(lambda exchange: exchange.messages)
        with following(url, run) as first:
            first.until(lambda exchange: exchange.messages)
        second.until(lambda exchange: exchange.body.count(b"ping") >= 4)
        assert "running" == ask(f"{url}/runs/{run}").json["state"]
    assert upstream.wait_idle()


def test_a_post_aborted_before_its_answer_is_cancelled(settings: Settings, serve: Serve, upstream: DemoOllama) -> None:
    """A run that nobody ever followed is cancelled: its client never learned its id."""
    url = serve(create_app(settings.change(grace_s=0.05, model="demo:silent"))).url
    Exchange(f"{url}/runs", "POST", question="q").close(reset=True)
    # At least five seconds, for a client that is slow to follow.
    assert upstream.wait_idle(timeout_s=20)


def test_leaving_behind_a_middleware(quick: Settings, serve: Serve, upstream: DemoOllama) -> None:
    """Starlette's BaseHTTPMiddleware around us does not hide that a client leaves."""
    app = create_app(quick)

    async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    url = serve(app).url
    with Exchange(f"{url}/stream", "POST", question="q") as stream:
        stream.until(lambda exchange: exchange.messages)
        assert upstream.wait_active()
    assert upstream.wait_idle()
    assert " 1 2" == ask(f"{url}/stream", "POST", question="q", model="demo:tokens-2").text


def test_a_router_in_a_foreign_app(quick: Settings, serve: Serve, upstream: DemoOllama) -> None:
    """Mounted under a prefix, in an app with a lifespan of its own, leaving works as well."""
    app = FastAPI()
    runs = Runs(quick)
    app.include_router(create_router(runs=runs), prefix="/llm")
    app.state.runs = runs
    url = serve(app).url
    created = ask(f"{url}/llm/runs", "POST", question="q", model="demo:tokens-2")
    assert created.json["events_url"].startswith("/llm/runs/")
    assert " 1 2" == ask(url + created.json["events_url"]).text
    with Exchange(f"{url}/llm/stream", "POST", question="q") as stream:
        stream.until(lambda exchange: exchange.messages)
        assert upstream.wait_active()
    assert upstream.wait_idle()


def test_who_reads_nothing_is_dropped_and_can_resume(settings: Settings, serve: Serve, upstream: DemoOllama) -> None:
    """A stalled client delays nobody, is dropped after the send timeout, and gets the rest by its last id."""
    served = serve(create_app(settings.change(send_timeout_s=1, grace_s=20)))
    url = served.url
    run = start(url, question="q", model=LONG)
    with Exchange(f"{url}/runs/{run}/events", receive_buffer=4096) as stalled:
        stalled.until(lambda exchange: exchange.messages)
        whole = ask(f"{url}/runs/{run}/events")
        assert "finished" == whole.types[-1]
        assert whole.text == "".join(f" {n}" for n in range(1, 40_001))
        assert eventually(lambda: not served.server.server_state.connections)
        stalled.all()
        assert not stalled.complete
    rest = ask(f"{url}/runs/{run}/events", headers={"last-event-id": stalled.messages[-1].id})
    assert whole.messages == [*stalled.messages, *rest.messages]


def test_who_reads_no_whole_answer_is_dropped(settings: Settings, serve: Serve) -> None:
    """An answer that was sent as a whole, and its connection, don't wait for ever for a client that reads nothing."""
    app = create_app(settings.change(send_timeout_s=0.3))
    app.add_api_route("/large", lambda: Response(bytes(20_000_000)))
    served = serve(app)
    with Exchange(f"{served.url}/large", receive_buffer=4096) as stalled:
        stalled.until(lambda exchange: exchange.status)
        assert eventually(lambda: not served.server.server_state.connections)
        stalled.all()
        assert not stalled.complete


def test_stalled_readers_cost_little_memory(upstream: DemoOllama) -> None:
    """What a client does not read waits in the log, which all share, not in a buffer of its own."""

    def resident_kib() -> int:
        shown = subprocess.run(["ps", "-o", "rss=", "-p", str(server.process.pid)], capture_output=True, check=True)
        return int(shown.stdout)

    with served(upstream, send_timeout_s="60", grace_s="20") as server, ExitStack() as stack:
        run = start(server.url, question="q", model=LONG)
        events = f"{server.url}/runs/{run}/events"
        assert len(ask(events).body) > 4_000_000
        before = resident_kib()
        for _ in range(100):
            stalled = stack.enter_context(Exchange(events, receive_buffer=4096))
            stalled.until(lambda exchange: exchange.messages)
        ask(events)  # the server has come to a halt with all the others by now
        # Each holds a batch, and what its transport takes beyond its limit: 64 KiB both. The answer has 4 MB.
        assert resident_kib() - before < 100 * 192


def test_a_stall_on_the_way_holds_up_nobody_else(settings: Settings, serve: Serve) -> None:
    """A client behind a line that stands still comes back by another one and has everything."""
    url = serve(create_app(settings.change(send_timeout_s=0.3, grace_s=20))).url
    run = start(url, question="q", model="demo:tokens-2000")
    with (
        Proxy(url, iter([Fault(stall_down=5_000)])) as proxy,
        Exchange(f"{proxy.url}/runs/{run}/events") as stalled,
    ):
        stalled.until(lambda exchange: len(exchange.messages) >= 10)
        rest = ask(f"{proxy.url}/runs/{run}/events", headers={"last-event-id": stalled.last_id})
    assert "".join(f" {n}" for n in range(1, 2001)) == stalled.text + rest.text
