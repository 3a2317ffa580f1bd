"""React pages of another origin in a real Chromium, in each of the ways that people write them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from httpx_sse import EventSource
from playwright.sync_api import Page

from llmstream.demo_ollama import DemoOllama
from tests.support.browser import CuttingProxy, Seen
from tests.support.browser_pages import (
    ANSWER,
    EVENT_SOURCE,
    GET,
    NO_STREAM,
    POST,
    QUESTION,
    READER,
    WAYS,
    Open,
    ServeApi,
)
from tests.support.parsers import alike, ours, parsed
from tests.support.serving import generations, post

pytestmark = pytest.mark.timeout(180)  # the first test builds the pages
STREAMING = WAYS[:4]
ENDPOINTS = {
    EVENT_SOURCE: ("GET", "/stream-with-get"),
    GET: ("GET", "/stream-with-get"),
    POST: ("POST", "/stream-with-post"),
    READER: ("POST", "/stream"),
    NO_STREAM: ("POST", "/nostream"),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_answer_is_exact_after_one_request(
    way: str, paced: DemoOllama, serve_api: ServeApi, open_page: Open
) -> None:
    """Pages of other origins show the exact text, ask once each, and no error is seen."""
    api = serve_api(paced)
    for count, host in enumerate(("localhost", "127.0.0.1"), 1):
        watched = open_page(way, api.port, host)
        watched.ask()
        watched.ends("done")
        assert watched.answer == ANSWER
        assert api.asked == [(*ENDPOINTS[way], 200)] * count
        assert [request.method for request in watched.asked] == [ENDPOINTS[way][0]]
        assert generations(paced) == count
        assert watched.errors == []


@pytest.mark.parametrize("way", STREAMING)
def test_the_first_pieces_are_shown_while_the_model_still_writes(
    way: str, upstream: DemoOllama, serve_api: ServeApi, open_page: Open
) -> None:
    """What the model wrote is on the page before it goes on; leaving the page frees the model."""
    api = serve_api(upstream, model="demo:stall-5", grace_s=0)
    watched = open_page(way, api.port)
    watched.ask()
    watched.shows("1 2 3 4")
    assert upstream.active == 1
    assert watched.errors == []
    watched.page.goto("about:blank")
    assert upstream.wait_idle()


@pytest.mark.parametrize("way", [EVENT_SOURCE, GET, POST])
def test_a_cut_connection_goes_on_where_it_was(
    way: str, paced: DemoOllama, serve_api: ServeApi, open_page: Open
) -> None:
    """The client connects again by itself, says what it has, and shows the exact text of the same run."""
    api = serve_api(paced)
    with CuttingProxy(api.served.url, before="id: [^\n]*\ndata: [^\n]*sk", hold=True) as proxy:
        watched = open_page(way, proxy.port, patient="")
        watched.ask()
        watched.shows("naïve café")
        proxy.cut.set()
        watched.ends("done")
        assert proxy.has_cut
    assert watched.answer == ANSWER
    first, second = api.recorder.asked
    assert first.last_event_id is None
    assert second.last_event_id is not None
    assert generations(paced) == 1


@pytest.mark.parametrize("way", [EVENT_SOURCE, GET, POST])
def test_a_connection_cut_just_before_the_end_repeats_nothing(
    way: str, paced: DemoOllama, serve_api: ServeApi, open_page: Open
) -> None:
    """The text that is held back until the end is shown once, also where only the end itself was lost."""
    api = serve_api(paced)
    with CuttingProxy(api.served.url, before="id: [^\n]*\nevent: done", hold=True) as proxy:
        watched = open_page(way, proxy.port, patient="")
        watched.ask()
        watched.shows("naïve café")
        proxy.cut.set()
        watched.ends("done")
        assert proxy.has_cut
    assert watched.answer == ANSWER
    assert generations(paced) == 1


def test_an_event_source_that_nobody_closes_stops_by_itself(
    paced: DemoOllama, serve_api: ServeApi, open_page: Open
) -> None:
    """After the end the browser asks once more, is told 204, and asks no more; nothing is generated."""
    api = serve_api(paced)
    watched = open_page("", api.port)
    states = watched.page.evaluate(
        """url => new Promise((resolve) => {
          const source = new EventSource(url);
          let answer = "";
          const states = [];
          source.onmessage = (event) => (answer += event.data);
          source.onerror = () => {
            states.push(source.readyState);
            if (source.readyState === EventSource.CLOSED) resolve([answer, ...states]);
          };
        })""",
        f"http://localhost:{api.port}/stream-with-get?question={quote(QUESTION)}",
    )
    connecting, closed = 0, 2
    assert states == [ANSWER, connecting, closed]
    # Its id went along across origins, and needed no preflight.
    requests = [(each.method, each.last_event_id is None, each.status) for each in api.recorder.seen]
    assert requests == [("GET", True, 200), ("GET", False, 204)]
    assert generations(paced) == 1


EVENTS = """([url, names]) => new Promise((resolve) => {
  const source = new EventSource(url);
  const found = [];
  for (const name of names) {
    source.addEventListener(name, ({ type, data, lastEventId }) => found.push({ event: type, data, id: lastEventId }));
  }
  source.addEventListener("error", () => { source.close(); resolve(found); });
})"""


def test_every_stream_is_the_same_to_the_browser(
    upstream: DemoOllama, serve_api: ServeApi, open_page: Open, tmp_path: Path
) -> None:
    """The browser, two parsers of npm, httpx-sse and ours give the same list of events, with their ids and data."""
    upstream.answers[QUESTION] = ANSWER
    api = serve_api(upstream)
    question = {"question": QUESTION}
    native = post(f"{api.served.url}/stream", question)
    bodies = [native.content, post(f"{api.served.url}/stream-with-post", question).content]
    page = open_page("", api.port).page
    page.route("**/recorded/*", lambda route: route.fulfill(body=bodies[int(route.request.url[-1])], headers=RECORDED))
    names = sorted({message["event"] for body in bodies for message in ours(body)} | {"message"})
    found = [page.evaluate(EVENTS, [f"http://localhost:{api.port}/recorded/{n}", names]) for n in range(len(bodies))]
    assert found == [ours(body) for body in bodies]
    assert parsed(tmp_path, *bodies) == alike(*bodies)
    assert [by_httpx_sse(body) for body in bodies] == found
    live = f"http://localhost:{api.port}/runs/{native.headers['x-run-id']}/events"
    assert page.evaluate(EVENTS, [live, names]) == found[0]


RECORDED = {"content-type": "text/event-stream", "access-control-allow-origin": "*"}


def by_httpx_sse(body: bytes) -> list[dict[str, str]]:
    """The messages of an SSE body by httpx-sse, which takes the opening of the plain dialect, an id alone, for one."""
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)
    found = [{"event": each.event, "data": each.data, "id": each.id} for each in EventSource(response).iter_sse()]
    return [each for each in found if each["data"] or each["event"] != "message"]


SEVEN_TIMES = """async () => {
  const done = () => document.querySelector("[role=status]").textContent === "done";
  for (let count = 0; count < 7; count += 1) {
    document.querySelector("button").click();
    do await new Promise(requestAnimationFrame); while (!done());
  }
}"""


def test_no_stream_is_left_open(upstream: DemoOllama, serve_api: ServeApi, open_page: Open) -> None:
    """More answers in a tab than a browser has connections to a server: each stream has ended with its answer."""
    upstream.answers[QUESTION] = "Blue."
    api = serve_api(upstream)
    for way in (EVENT_SOURCE, POST):
        api.recorder.seen.clear()
        watched = open_page(way, api.port)
        watched.page.get_by_label("Question").fill(QUESTION)
        watched.page.evaluate(SEVEN_TIMES)
        assert watched.answer == "Blue."
        assert api.recorder.wait(lambda ended: len([each for each in ended if each.method != "OPTIONS"]) == 7), way


def test_a_client_that_takes_the_end_for_a_cut_starts_nothing(
    paced: DemoOllama, serve_api: ServeApi, open_page: Open
) -> None:
    """Code that posts again after every end, as in fetch-event-source's README, gets 204 and no second answer."""
    api = serve_api(paced)
    watched = open_page(POST, api.port, **{"retry-after-close": ""})
    watched.ask()
    assert api.recorder.wait(_has_204)
    assert [status for *_, status in api.asked] == [200, 204]
    assert watched.answer == ANSWER
    assert generations(paced) == 1


def _has_204(seen: list[Seen]) -> bool:
    return any(each.status == 204 for each in seen)


@pytest.mark.parametrize("way", [GET, POST])
def test_a_tab_hidden_and_shown_again_goes_on_with_its_run(way: str, serve_api: ServeApi, open_page: Open) -> None:
    """fetch-event-source drops the connection of a hidden tab and asks again: the same run, the exact text."""
    with DemoOllama(tokens_per_s=60) as upstream:
        upstream.answers[QUESTION] = ANSWER
        api = serve_api(upstream)
        watched = open_page(way, api.port)
        watched.ask()
        watched.shows("Two")
        _hide(watched.page, hidden=True)
        assert api.recorder.wait(lambda seen: any(each.method != "OPTIONS" for each in seen))
        assert upstream.active == 1
        _hide(watched.page, hidden=False)
        watched.ends("done")
        assert watched.answer == ANSWER
        assert [each.last_event_id is None for each in api.recorder.asked] == [True, False]
        assert generations(upstream) == 1
        assert watched.errors == []


def _hide(page: Page, *, hidden: bool) -> None:
    page.evaluate(
        """hidden => {
          Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


@pytest.mark.parametrize("way", WAYS)
def test_a_model_that_is_missing_is_a_status(
    way: str, upstream: DemoOllama, serve_api: ServeApi, open_page: Open
) -> None:
    """A failure before the first token is a real HTTP status, read across origins, and nobody asks again."""
    api = serve_api(upstream, model="no-such-model")
    watched = open_page(way, api.port)
    watched.ask()
    watched.ends("connection error" if way == EVENT_SOURCE else "failed: HTTP 404")
    assert watched.answer == ""
    assert api.asked == [(*ENDPOINTS[way], 404)]


@pytest.mark.parametrize("way", STREAMING)
def test_a_late_failure_is_a_message_for_people(
    way: str, upstream: DemoOllama, serve_api: ServeApi, open_page: Open
) -> None:
    """What came is kept, the page gets a message without paths or traces, and nobody asks again."""
    api = serve_api(upstream, model="demo:error-path")
    watched = open_page(way, api.port)
    watched.ask()
    watched.fails()
    assert watched.answer == "The sky is blue because"
    shown = watched.page.get_by_role("status").text_content() or ""
    assert "HTTP" not in shown
    assert not any(word in shown for word in ("Traceback", "/home", "41237", "Error("))
    assert api.asked == [(*ENDPOINTS[way], 200)]
    assert watched.errors == []
