"""The wire panel of the chat page in a real Chromium, and the page on Vite's development server."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Locator, expect

from llmstream.demo_ollama import DemoOllama
from tests.support.page import ANSWER, QUESTION, Chat, Held, Pages, site
from tests.support.react_app import APP, npm
from tests.support.serving import generations

HOOK, EVENT_SOURCE, GET, POST, NO_STREAM = WAYS = (
    "llmstream hook", "EventSource (GET)", "fetch-event-source (GET)", "fetch-event-source (POST)", "No stream (POST)",
)  # fmt: skip


class Wire:
    """The wire panel."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        chat.button("Wire").click()
        chat.page.get_by_label("Question").fill(QUESTION)

    def card(self, way: str) -> Locator:
        """What belongs to a way to connect."""
        return self.chat.page.get_by_role("region", name=way, exact=True)

    def answer(self, way: str) -> Locator:
        """What a page would show."""
        return self.card(way).get_by_role("region", name="The answer")

    def ask(self, way: str) -> None:
        """Ask by this way alone."""
        self.card(way).get_by_role("button", name="Ask").click()

    def ends(self, way: str) -> None:
        """Waits for the end of an answer, which is whole."""
        expect(self.card(way).get_by_role("button", name="Ask")).to_be_visible()
        assert ANSWER == self.answer(way).text_content()

    def rows(self, way: str, kind: str) -> list[str]:
        """The lines of a kind that were written down: request, response, message or note."""
        return self.card(way).locator(f".rows .{kind} > :last-child").all_text_contents()


def test_every_way_shows_what_arrives(pages: Pages, held: Held) -> None:
    """The same question by five ways at once: each shows its messages with their times, and the whole answer."""
    wire = Wire(pages.open(held.site.url))
    wire.chat.button("Ask all").click()
    held.go()
    for way in WAYS:
        wire.ends(way)
        times = [int(time) for time in wire.card(way).locator(".at").all_text_contents()]
        assert times == sorted(times)
    assert len(WAYS) == generations(held.upstream)
    started, followed = wire.rows(HOOK, "request")
    assert f'POST /runs{{"question":"{QUESTION}"}}' == started
    assert re.fullmatch(r"GET /runs/\w{4}…\w{4}/events", followed)
    first, *_, last = wire.rows(HOOK, "message")
    assert re.match(r'\w{4}…\w{4}-1 · started\{"type":"started"', first)
    assert re.match(r'\w{4}…\w{4}-\d+ · finished\{"type":"finished"', last)
    for way in (EVENT_SOURCE, GET, POST):
        pieces = wire.rows(way, "message")
        assert len(pieces) > 100
        assert re.fullmatch(r"\w{4}…\w{4}-\d+ · done", pieces[-1])
        assert ["200 text/event-stream"] == wire.rows(way, "response")
    assert ["200 application/json"] == wire.rows(NO_STREAM, "response")
    assert 1 == len(wire.rows(NO_STREAM, "message"))


def test_an_event_source_that_is_not_closed_asks_twice(pages: Pages, held: Held) -> None:
    """Its second request is seen, and that it is answered with 204: nothing is generated for it."""
    wire = Wire(pages.open(held.site.url))
    wire.card(EVENT_SOURCE).get_by_label("forget to close it").check()
    held.go()
    wire.ask(EVENT_SOURCE)
    wire.ends(EVENT_SOURCE)
    assert ["200 text/event-stream", "204: there is nothing more, so it stops asking"] == wire.rows(
        EVENT_SOURCE, "response"
    )
    assert wire.rows(EVENT_SOURCE, "request")[1].startswith("GET again, by itself")
    assert (2, 1) == (held.site.count("GET", "/stream-with-get"), generations(held.upstream))


def test_an_event_source_that_is_refused_is_not_said_to_be_whole(pages: Pages, upstream: DemoOllama) -> None:
    """The browser tells no status; that there is nothing more is said of an answer that has ended alone."""
    pages.expected = "status of 404"
    with site(upstream, model="demo:gone") as served:
        wire = Wire(pages.open(served.url))
        wire.ask(EVENT_SOURCE)
        expect(wire.card(EVENT_SOURCE).get_by_role("button", name="Ask")).to_be_visible()
        refused = "no event stream: the browser does not say what, and stops asking"
        assert [refused] == wire.rows(EVENT_SOURCE, "response")


def test_a_cut_connection_comes_back(pages: Pages, held: Held) -> None:
    """The cut is seen, and how each way comes back: with the last id it has; nothing is generated again."""
    wire = Wire(pages.open(held.site.url))
    ways = (HOOK, GET, POST)
    for way in ways:
        wire.ask(way)
    for way in ways:
        expect(wire.answer(way)).to_contain_text("times")
        wire.card(way).get_by_role("button", name="Cut the connection").click()
    held.go()
    for way in ways:
        wire.ends(way)
        assert "the connection was cut" in wire.rows(way, "note")
        assert re.search(r"\?after=\d+|Last-Event-ID: \w{4}…\w{4}-\d+", wire.rows(way, "request")[-1])
    assert len(ways) == generations(held.upstream)


def test_a_hidden_tab_makes_fetch_event_source_post_again(pages: Pages, held: Held) -> None:
    """It hangs up, and posts the question again when the tab is shown; the server goes on with the same answer."""
    wire = Wire(pages.open(held.site.url))
    wire.ask(POST)
    expect(wire.answer(POST)).to_contain_text("times")
    wire.card(POST).get_by_role("button", name="Hide and show the tab").click()
    held.go()
    wire.ends(POST)
    first, second = wire.rows(POST, "request")
    assert ("Last-Event-ID" in first, "Last-Event-ID" in second) == (False, True)
    assert (2, 1) == (held.site.count("POST", "/stream-with-post"), generations(held.upstream))


@contextmanager
def development_server(api: str) -> Iterator[str]:
    """`npm run dev` against an API; gives its address."""
    npm()
    command = [str(APP / "node_modules" / ".bin" / "vite"), "--host", "127.0.0.1", "--port", "0"]
    environment = os.environ | {"LLMSTREAM_URL": api, "NO_COLOR": "1"}
    process = subprocess.Popen(command, cwd=APP, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        said = ""
        while (found := re.search(r"http://127\.0\.0\.1:\d+", said)) is None:
            line = process.stdout.readline()
            assert line, said
            said += line
        yield found[0]
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()


@pytest.mark.timeout(180)  # the first run installs the packages
def test_the_development_server_mounts_twice_and_asks_once(pages: Pages, held: Held) -> None:
    """There React's StrictMode mounts every component twice; the answer is asked for and followed once."""
    with development_server(held.site.url) as url:
        chat = pages.open(url).ask()
        held.is_shown_to(chat)
        mounted = chat.paths().count("/health")  # what an effect asks for, it asks for twice
        held.go()
        held.is_whole(chat)
        chat.page.goto("about:blank")
    assert 2 == mounted
    assert (1, 1) == (held.site.count("POST", "/runs"), held.site.count("GET", "/events"))
