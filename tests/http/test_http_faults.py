"""Over HTTP when things go wrong: a model that loads, a chain that blocks, positions that can't be, forgotten runs."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.faultkit import Exchange, ask, eventually, following, start
from tests.support.serving import Serve, generations

PING = b": ping\n"
NATIVE_AND_PLAIN = ("/stream", "/stream-with-post")


def test_a_model_that_loads_is_told_and_asked_once(settings: Settings, serve: Serve, upstream: DemoOllama) -> None:
    """While nothing comes, not even headers, the client is told why, gets heartbeats, and nobody asks again."""
    url = serve(create_app(settings.change(hold_s=0.05, heartbeat_s=0.05))).url
    stream = ask(f"{url}/stream", "POST", question="q", model="demo:slow-2")
    told, _, rest = stream.body.partition(b'"state":"loading"')
    assert (["started", "status"], ["loading"]) == (
        stream.types[:2],
        [event["state"] for event in stream.events if event["type"] == "status"],
    )
    assert b"event: token" not in told
    assert rest.partition(b"event: token")[0].count(PING) > 2
    assert (SENTENCE, "finished") == (stream.text, stream.types[-1])
    assert 1 == generations(upstream)


def test_heartbeats_go_on_beside_a_blocked_generator(settings: Settings, serve: Serve) -> None:
    """A sync generator that does not return holds up no other stream's heartbeat."""
    entered, gate = threading.Semaphore(0), threading.Event()

    def chain(pieces: Iterator[str]) -> Iterator[str]:
        question = "".join(pieces)
        entered.release()
        assert gate.wait(timeout=30)
        yield f"{question}!"

    url = serve(create_app(settings.change(heartbeat_s=0.02), chain=chain)).url
    quiet, blocked = (start(url, question=question) for question in ("quiet", "blocked"))
    assert entered.acquire(timeout=10)
    assert entered.acquire(timeout=10)
    # A connection of now: each heartbeat on it was sent while both generators stood still.
    with following(url, quiet) as stream:
        stream.until(lambda exchange: exchange.body.count(PING) >= 10)
        assert ["started"] == stream.types
        gate.set()
        assert "quiet!" == stream.all().text
    assert "blocked!" == ask(f"{url}/runs/{blocked}/events").text


def test_a_position_of_a_megabyte_is_told(settings: Settings, serve: Serve, upstream: DemoOllama) -> None:
    """A Last-Event-ID as long as that gets a refusal or an event that says so: no data, and nothing is started."""
    url = serve(create_app(settings.change(model="demo:tokens-3"))).url
    run = start(url, question="q")
    whole = ask(f"{url}/runs/{run}/events")
    for position in ("x" * 2**20, f"{run}-" + "1" * 2**20, f"{whole.messages[1].id}{' ' * 2**20}x"):
        headers = {"last-event-id": position}
        for answer in (
            ask(f"{url}/runs/{run}/events", headers=headers),
            ask(f"{url}/stream-with-get?question=q", headers=headers),
            *(ask(f"{url}{path}", "POST", headers=headers, question="q") for path in NATIVE_AND_PLAIN),
        ):
            told = [message.event for message in answer.messages]
            assert (431, []) == (answer.status, told), answer.body
            assert len(answer.body) < 1_000
    assert 1 == generations(upstream)
    assert whole.messages == ask(f"{url}/runs/{run}/events").messages


def on_the_wire(url: str, method: str, headers: dict[str, str], **fields: Any) -> bytes:
    """An answer byte by byte, but for its date."""
    with Exchange(url, method, headers={**headers, "connection": "close"}, **fields) as exchange:
        answer = b"".join(iter(lambda: exchange.socket.recv(65536), b""))
    return re.sub(rb"(?im)^date: .*\r\n", b"", answer)


def test_unknown_expired_and_foreign_runs_are_the_same_bytes(settings: Settings, serve: Serve) -> None:
    """At every address, from any position: whoever asks can't tell whether there is or was such a run."""
    app = create_app(settings.change(drain_s=0, replay_s=0), identify=lambda request: request.headers.get("x-user"))
    url = serve(app).url
    ann, bob = {"x-user": "ann"}, {"x-user": "bob"}
    ended = ask(f"{url}/stream", "POST", headers=ann, question="q", model="demo:tokens-2")
    expired, _, last = ended.messages[-1].id.rpartition("-")
    foreign = ask(f"{url}/runs", "POST", headers=bob, question="q", model="demo:silent").json["run_id"]
    addresses: list[tuple[str, str, str | None]] = [
        *(("GET", path, None) for path in ("/runs/{}", "/runs/{}/events", "/runs/{}/events?after=1")),
        *(("GET", "/runs/{}/events", position) for position in ("0", "1", last, "99")),
        *(("GET", "/stream-with-get?question=q", position) for position in ("1", last)),
        *(("POST", path, position) for path in NATIVE_AND_PLAIN for position in ("1", last)),
        ("POST", "/runs/{}/stop", None),
    ]
    answers: set[bytes] = set()
    for method, path, position in addresses:
        fields = {"question": "q"} if path in NATIVE_AND_PLAIN else {}
        for run in (foreign[:8] + "0" * 24, expired, foreign, "x"):  # all of a server begin alike
            headers = ann if position is None else {**ann, "last-event-id": f"{run}-{position}"}
            answers.add(on_the_wire(url + path.format(run), method, headers, **fields))
    assert 1 == len(answers)
    assert answers.pop().startswith(b"HTTP/1.1 404 ")
    assert "running" == ask(f"{url}/runs/{foreign}", headers=bob).json["state"]


@pytest.mark.parametrize("redo", ["follow", "stream", "continue"])
def test_a_server_that_was_restarted_says_so(redo: str, settings: Settings, serve: Serve) -> None:
    """Who follows an answer that went with its server is told what happened; an id of nobody's is told nothing new."""
    settings = settings.change(model="demo:slow-0.2", hold_s=0)
    before, after = (serve(create_app(settings)) for _ in range(2))
    with following(before.url, run := start(before.url, question="q")) as exchange:
        exchange.until(lambda exchange: exchange.last_id)
        asked: dict[str, tuple[str, str, dict[str, str]]] = {
            "follow": (f"/runs/{run}/events", "GET", {"last-event-id": exchange.last_id}),
            "stream": ("/stream-with-get?question=q", "GET", {"last-event-id": exchange.last_id}),
            "continue": (f"/runs/{run}/continue", "POST", {}),
        }
        path, method, headers = asked[redo]
        lost = ask(f"{after.url}{path}", method, headers=headers)
        nobody = ask(f"{before.url}/runs/{run[:-1]}x/events", "GET")
    told = "The server was restarted, and this answer was lost with it. Ask again."
    assert (404, "run_not_found", told) == (lost.status, lost.json["code"], lost.json["message"])
    assert "There is no such run, or it has expired. Start a new one." == nobody.json["message"]


@pytest.mark.parametrize("way", ["native", "plain"])
@pytest.mark.parametrize("replay_s", [600, 0])
def test_who_sleeps_comes_back_to_all_or_is_told(
    replay_s: float, way: str, settings: Settings, serve: Serve, upstream: DemoOllama
) -> None:
    """A client that was away until after the end gets the rest while the run is kept, and 404 when it is forgotten."""
    served = serve(create_app(settings.change(replay_s=replay_s, hold_s=0, grace_s=20, model="demo:slow-0.2")))
    path = "/stream" if way == "native" else "/stream-with-post"
    with Exchange(f"{served.url}{path}", "POST", question="q") as before:
        before.until(lambda exchange: exchange.last_id)
    assert eventually(lambda: not served.runs.active)
    rest = ask(f"{served.url}{path}", "POST", headers={"last-event-id": before.last_id}, question="q")
    if replay_s:
        last = "finished" if way == "native" else "done"
        assert (200, last, True) == (rest.status, rest.messages[-1].event, rest.complete)
        assert SENTENCE == (rest.text if way == "native" else "".join(message.data for message in rest.messages))
    else:
        assert (404, "run_not_found", []) == (rest.status, rest.json["code"], rest.messages)
    assert 1 == generations(upstream)
