"""The Python client for llmstream's own server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI, Request, Response

from llmstream.client import AsyncClient, Client
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.errors import (
    LlmstreamError,
    ModelNotFound,
    RunCancelled,
    RunNotFound,
    SettingsError,
    StillRunning,
    Unauthorized,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from llmstream.events import Cancelled, Continued, Finished, Reset, Started
from llmstream.fastapi import create_app
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from tests.support.faultkit import Fault, Proxy
from tests.support.serving import Served, answer


@pytest.fixture
def served(serve: Callable[[FastAPI], Served], settings: Settings) -> Served:
    """A server on scripted answers."""
    return serve(create_app(settings))


def cuts() -> Iterator[Fault]:
    """The first connection is the POST; each one after it ends a little later than the one before."""
    yield Fault()
    for size in range(700, 4000, 300):
        yield Fault(cut_down=size, reset=size % 200 == 0)


def test_an_answer_comes_through_any_number_of_cuts(served: Served, upstream: DemoOllama) -> None:
    """Every event once, in order, from one generation."""
    with Proxy(served.url, cuts()) as proxy, Client(proxy.url) as client:
        run_id = client.start("x", model="demo:tokens-100")
        events = list(client.follow(run_id))
    assert "".join(f" {n}" for n in range(1, 101)) == answer(events)
    assert (Started, Finished) == (type(events[0]), type(events[-1]))
    assert 1 == sum(request.path == "/api/chat" for request in upstream.requests)


def test_a_lost_answer_to_the_start_starts_nothing_twice(served: Served, upstream: DemoOllama) -> None:
    """The request has a key, so it can be repeated."""
    with Proxy(served.url, iter([Fault(cut_down=20)])) as proxy, Client(proxy.url) as client:
        client.start("x", model="demo:endless-5")
        assert upstream.wait_active(1)
        assert 1 == sum(request.path == "/api/chat" for request in upstream.requests)


def test_closing_a_stream_stops_the_model(served: Served, upstream: DemoOllama) -> None:
    """Who started a stream and leaves it needs the answer no more."""
    with Client(served.url) as client:
        events = client.stream_events("x", model="demo:endless-50")
        assert Started is type(next(events))
        assert upstream.wait_active(1)
        events.close()
    assert upstream.wait_idle()


def test_stop_from_elsewhere_is_no_complete_answer(served: Served) -> None:
    """`stream` raises where the run was stopped; `snapshot` tells the same."""
    with Client(served.url) as client:
        run_id = client.start("x", model="demo:endless-50")
        followed = client.follow(run_id)
        assert Started is type(next(followed))
        assert client.stop(run_id)
        assert Cancelled("stop") == list(followed)[-1]
        assert "cancelled" == client.snapshot(run_id)["state"]
        assert not client.stop(run_id)


def test_a_cut_answer_is_continued(served: Served) -> None:
    """By another run, which begins with what there was."""
    with Client(served.url) as client:
        cut = client.start("x", model="demo:cut")
        before = answer(list(client.follow(cut)))
        run_id = client.continue_run(cut)
        events = list(client.follow(run_id))
        with pytest.raises(StillRunning):
            client.continue_run(client.start("x", model="demo:silent"))
    assert run_id != cut
    assert Continued(cut) in events
    assert len(before) < len(answer(events))
    assert SENTENCE.startswith(answer(events))


def test_stream_gives_pieces_or_raises(served: Served) -> None:
    """Pieces of text, then the error that the answer broke off with."""
    with Client(served.url) as client:
        assert SENTENCE == "".join(client.stream("x", model="demo:one-chunk"))
        pieces: list[str] = []
        with pytest.raises(UpstreamTruncated):
            pieces.extend(client.stream("x", model="demo:no-done"))


def test_a_run_that_is_stopped_makes_stream_raise(served: Served, upstream: DemoOllama) -> None:
    """An iteration that ends without an error would be a complete answer."""
    with Client(served.url) as client:
        pieces = client.stream("x", model="demo:endless-50")
        next(pieces)
        (run_id,) = served.runs.active
        client.stop(run_id)
        with pytest.raises(RunCancelled):
            list(pieces)


def test_refusals_are_the_servers_errors(serve: Callable[[FastAPI], Served], settings: Settings) -> None:
    """Each with its class: no model, no run, no token, no server."""
    served = serve(create_app(settings.change(token="secret")))
    with Client(served.url, token="secret") as client:
        with pytest.raises(ModelNotFound):
            client.start("x", model="nope")
        with pytest.raises(RunNotFound):
            list(client.follow("0" * 32))
    with pytest.raises(Unauthorized):
        Client(served.url).start("x")
    with pytest.raises(UpstreamUnreachable):
        Client("http://127.0.0.1:9").start("x")


def test_a_position_that_is_not_there_is_told(served: Served) -> None:
    """The last event is a reset."""
    with Client(served.url) as client:
        run_id = client.start("x", model="demo:one-chunk")
        assert [Reset("future")] == list(client.follow(run_id, after=10_000))


def test_a_run_whose_place_the_server_has_lost_is_no_whole_answer(serve: Callable[[FastAPI], Served]) -> None:
    """What came stays; then an error that says so, and not that somebody stopped it."""
    app = FastAPI()
    app.state.runs = Runs()

    @app.post("/runs", status_code=201)
    def start() -> dict[str, str]:
        return {"run_id": "a"}

    @app.get("/runs/a/events")
    def follow(request: Request) -> Response:
        is_back = "last-event-id" in request.headers
        token = '{"type": "token", "run": "a", "seq": 1, "text": "The sky"}'
        body = 'data: {"type": "reset", "run": "a", "reason": "trimmed"}\n\n' if is_back else f"data: {token}\n\n"
        return Response(body, media_type="text/event-stream")

    pieces: list[str] = []
    with Client(serve(app).url) as client, pytest.raises(UpstreamTruncated, match="does not know how to go on"):
        pieces.extend(client.stream("x"))
    assert ["The sky"] == pieces


async def test_the_async_client_does_the_same(served: Served) -> None:
    """Start, follow, snapshot, without a thread."""
    client = AsyncClient(served.url)
    run_id = await client.start([{"role": "user", "content": "x"}], model="demo:one-chunk")
    events = [event async for event in client.follow(run_id)]
    assert answer(events) == (await client.snapshot(run_id))["text"]


def test_following_an_ended_run_from_its_end_is_over_at_once(served: Served) -> None:
    """There is nothing more, which is no cut."""
    with Client(served.url) as client:
        run_id = client.start("x", model="demo:one-chunk")
        last = len(list(client.follow(run_id)))
        assert [] == list(client.follow(run_id, after=last))


def test_what_is_not_llmstream_is_told_of(serve: Callable[[FastAPI], Served]) -> None:
    """Another server, a proxy without one, a login before it: in words, with the address and what to do."""
    other = FastAPI()
    other.state.runs = Runs()
    other.post("/ok/runs")(lambda: {"id": 1})
    other.post("/{status}/runs")(lambda status: Response("<html>", int(status)))
    other.post("/{status}/runs/{run}/stop")(lambda status, run: Response("<html>", int(status)))
    url = serve(other).url
    told = {"ok": "Check the address", "404": "status 404", "401": "headers=", "500": "Its log", "413": "nginx"}
    for path, text in (told | {"502": "A proxy at"}).items():
        with pytest.raises(LlmstreamError, match=text) as caught:
            Client(f"{url}/{path}").start("x")
        assert f"{url}/{path}" in str(caught.value)
    with pytest.raises(UpstreamUnreachable, match="A proxy at"):
        Client(f"{url}/502").stop("x")
    with pytest.raises(UpstreamUnreachable, match="no TLS"):
        Client(url.replace("http:", "https:")).snapshot("x")
    with pytest.raises(SettingsError, match="such as http"):
        Client("localhost:8000")
