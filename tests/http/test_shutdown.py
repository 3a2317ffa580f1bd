"""A server that is told to stop: what it finishes, what it tells open clients, and that it ends in time."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest
from fastapi import FastAPI

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.command import served
from tests.support.faultkit import Exchange, ask, following, start
from tests.support.serving import Serve, plain_answer


def slack_s() -> float:
    """Two seconds, which are promised beyond the drain time; more as this machine has more to do than it has cores."""
    return 2 * max(1, os.getloadavg()[0] / (os.cpu_count() or 1))


def until_refused(url: str) -> Exchange:
    """Ask until a new run is refused: the server drains."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        answer = ask(f"{url}/runs", "POST", question="q", model="demo:tokens-1")
        if answer.status != 201:
            return answer
    raise AssertionError("new runs are not refused")


def test_a_run_that_ends_in_the_drain_time_ends_well(upstream: DemoOllama) -> None:
    """After SIGTERM new runs are refused with 503, and what goes on may finish."""
    with (
        served(upstream, drain_s="20") as server,
        Exchange(f"{server.url}/stream", "POST", question="q", model="demo:slow-2") as stream,
    ):
        assert upstream.wait_active()
        server.process.send_signal(signal.SIGTERM)
        refused = until_refused(server.url)
        assert (503, "server_shutdown", True) == (refused.status, refused.json["code"], refused.json["retryable"])
        assert int(refused.headers["retry-after"]) > 0
        stream.all()
        assert (True, "finished") == (stream.complete, stream.types[-1])
        server.ends_within(slack_s())


def test_what_does_not_end_is_told(upstream: DemoOllama) -> None:
    """After the drain time a run fails with `server_shutdown`, its text is kept, the body ends as it should."""
    with (
        served(upstream, drain_s="0.3", model="demo:stall-3") as server,
        Exchange(f"{server.url}/stream", "POST", question="q") as native,
        Exchange(f"{server.url}/stream-with-post", "POST", question="q") as plain,
    ):
        native.until(lambda exchange: exchange.text == " 1 2 3")
        plain.until(lambda exchange: plain_answer(exchange.body) == " 1 2 ")
        server.process.send_signal(signal.SIGTERM)
        last = native.all().events[-1]
        assert ("failed", "server_shutdown", True) == (last["type"], last["code"], last["retryable"])
        *_, rest, end = plain.all().messages
        assert ("3", "FatalError", last["message"]) == (rest.data, end.event, end.data)
        for each in (native, plain):
            assert each.complete
            assert b"\nretry: " in each.body
        server.ends_within(slack_s())
    assert upstream.wait_idle()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_time_whoever_is_connected(sign: signal.Signals, upstream: DemoOllama) -> None:
    """A reader that stands still, idle connections, half a request and queued runs hold nothing up."""
    with served(upstream, drain_s="0.5", max_active_runs="2") as server:
        endless = start(server.url, question="q", model="demo:repeat")
        silent = start(server.url, question="q", model="demo:silent")
        stalled = Exchange(f"{server.url}/runs/{endless}/events", receive_buffer=4096)
        stalled.until(lambda exchange: exchange.messages)
        watching = Exchange(f"{server.url}/runs/{silent}/events").head()
        queued = [Exchange(f"{server.url}/stream", "POST", question="q", model="demo:silent") for _ in range(5)]
        idle = Exchange(f"{server.url}/health").until(lambda exchange: exchange.complete)
        half = socket.create_connection(idle.socket.getpeername())
        half.sendall(b"POST /runs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
        server.process.send_signal(sign)
        server.ends_within(0.5 + slack_s())
        assert "server_shutdown" == watching.all().events[-1]["code"]
        for each in queued:
            assert "server_shutdown" in each.all().body.decode()
        for connection in (stalled, idle):
            connection.close()
        half.close()
    assert upstream.wait_idle()


def test_a_second_interrupt_does_not_wait(upstream: DemoOllama) -> None:
    """Ctrl-C twice skips the drain time."""
    with served(upstream, drain_s="600") as server:
        run = start(server.url, question="q", model="demo:silent")
        with following(server.url, run) as stream:
            stream.until(lambda exchange: exchange.messages)
            server.process.send_signal(signal.SIGINT)
            until_refused(server.url)
            server.process.send_signal(signal.SIGINT)
            server.ends_within(slack_s())
    assert upstream.wait_idle()


def test_a_killed_server_is_no_complete_answer(upstream: DemoOllama) -> None:
    """A kill -9 cuts the stream without an end, and Ollama is left."""
    with (
        served(upstream) as server,
        Exchange(f"{server.url}/stream", "POST", question="q", model="demo:stall-3") as stream,
    ):
        stream.until(lambda exchange: exchange.text == " 1 2 3")
        server.process.kill()
        stream.all()
        assert (False, "token") == (stream.complete, stream.types[-1])
    assert upstream.wait_idle()


def test_an_idle_server_ends_at_once(settings: Settings, serve: Serve) -> None:
    """With nothing going on there is nothing to wait for."""
    server = serve(create_app(settings.change(drain_s=600)))
    assert 200 == ask(f"{server.url}/health").status
    server.stop()


def test_a_foreign_app_ends_its_runs(settings: Settings, upstream: DemoOllama, serve: Serve) -> None:
    """Runs of a router in somebody else's app do not outlive it."""
    from llmstream.fastapi import create_router
    from llmstream.runs.manager import Runs

    app, runs = FastAPI(), Runs(settings.change(drain_s=0.1))
    app.include_router(create_router(runs=runs))
    app.state.runs = runs
    server = serve(app)
    start(server.url, question="q", model="demo:silent")
    assert upstream.wait_active()
    server.stop()
    assert upstream.wait_idle()
