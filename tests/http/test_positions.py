"""A run followed from any position, by several at once, and by who comes back."""

from __future__ import annotations

import pytest

from llmstream.demo_ollama import DemoOllama
from tests.support.faultkit import Exchange, ask, following, start
from tests.support.http_runs import SENTENCE, events
from tests.support.serving import generations


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
