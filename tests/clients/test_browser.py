"""React pages of another origin in a real Chromium, in each of the ways that people write them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx
import pytest
from fastapi import FastAPI
from httpx_sse import EventSource
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route, expect, sync_playwright
from starlette.types import ASGIApp

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.browser import CuttingProxy, Recorder, Seen, build, find_chromium, serving_files
from tests.support.parsers import alike, ours, parsed
from tests.support.serving import Served, generations, post

pytestmark = pytest.mark.timeout(180)  # the first test builds the pages

EVENT_SOURCE, GET, POST, READER, NO_STREAM = WAYS = (
    "event-source", "fetch-event-source-get", "fetch-event-source-post", "fetch-reader", "no-stream",
)  # fmt: skip
STREAMING = WAYS[:4]
ENDPOINTS = {
    EVENT_SOURCE: ("GET", "/stream-with-get"),
    GET: ("GET", "/stream-with-get"),
    POST: ("POST", "/stream-with-post"),
    READER: ("POST", "/stream"),
    NO_STREAM: ("POST", "/nostream"),
}
QUESTION = "Wie färbt man den Himmel? 100% & +1 = 🙂"
ANSWER = (
    "  Two spaces, then: naïve café, 日本語, עברית, \u00a0 and 👩\u200d👩\u200d👧\u200d👦 👍🏽 🇪🇺.\n"
    "\n"
    "\n"
    "```python\n"
    "def sky(color: str) -> str:\n"
    "    if color:\n"
    "\n"
    "\t\treturn f'data: {color}: '  # : ping\n"
    "    return ''\n"
    "```\n"
    "\n"
    "| a | b |\n"
    "|---|---|\n"
    "|   | <b>&amp;</b> |\n"
    "\n"
    "   The end, one newline after it.\n"
)
FOREIGN = ("evil.test", "evil.localhost")
INTRANET = "intranet.test"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium for which the foreign names lead to this machine."""
    names = ", ".join(f"MAP {name} 127.0.0.1" for name in (*FOREIGN, INTRANET))
    quiet = ("no-first-run", "disable-background-networking", "disable-component-update", "disable-sync")
    options = ["no-sandbox", "disable-gpu", *quiet, f"host-resolver-rules={names}"]
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[f"--{option}" for option in options])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def files_port() -> Iterator[int]:
    """The port of the pages, on localhost, 127.0.0.1 and the foreign names."""
    with serving_files(build() / "dist") as port:
        yield port


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser without any past."""
    with browser.new_context() as context:
        yield context


@pytest.fixture
def paced() -> Iterator[DemoOllama]:
    """A demo Ollama whose tokens arrive one by one."""
    with DemoOllama(tokens_per_s=400, scenarios=True) as server:
        server.answers[QUESTION] = ANSWER
        yield server


@dataclass
class Watched:
    """A page, what it asked the API for, and what went wrong in it."""

    page: Page
    asked: list[Request] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def ask(self, question: str = QUESTION) -> None:
        """Type the question and press the button."""
        self.page.get_by_label("Question").fill(question)
        self.page.get_by_role("button").click()

    def ends(self, state: str) -> None:
        """Waits for this state."""
        self._wait("status", "^" + re.escape(state) + "$")

    def fails(self) -> None:
        """Waits for a message that says it failed."""
        self._wait("status", "^failed: ")

    @property
    def answer(self) -> str:
        """The text shown now."""
        return self.page.get_by_role("log").text_content() or ""

    def shows(self, text: str) -> None:
        """Waits for this text in the answer."""
        self._wait("log", re.escape(text))

    def _wait(self, role: str, pattern: str) -> None:
        # Looked at in each frame: `expect` looks only now and then.
        look = "([role, text]) => new RegExp(text).test(document.querySelector(`[role=${role}]`).textContent)"
        self.page.wait_for_function(look, arg=[role, pattern])


Open = Callable[..., Watched]


@pytest.fixture
def open_page(context: BrowserContext, files_port: int) -> Open:
    """Opens the page of a way on an origin of its own; the API is at a port of localhost."""

    def open_page(way: str, api_port: int, host: str = "localhost", **query: str) -> Watched:
        watched = Watched(context.new_page())
        address = f"http://localhost:{api_port}"
        on_request = lambda request: watched.asked.append(request) if request.url.startswith(address) else None  # noqa: E731
        watched.page.on("request", on_request)
        watched.page.on(
            "console", lambda message: watched.errors.append(message.text) if message.type == "error" else None
        )
        watched.page.on("pageerror", lambda error: watched.errors.append(str(error)))
        watched.page.goto(f"http://{host}:{files_port}/?{urlencode({'way': way, 'api': address, **query})}")
        return watched

    return open_page


@dataclass
class Api:
    """A served app and the requests that reached it."""

    app: FastAPI
    served: Served
    recorder: Recorder

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.served.url.rpartition(":")[2])

    @property
    def asked(self) -> list[tuple[str, str, int]]:
        """Method, path and status of each request, preflights left out."""
        return [(each.method, each.path, each.status) for each in self.recorder.asked]


ServeApi = Callable[..., Api]


@pytest.fixture
def serve_api(serve: Callable[[FastAPI], Served]) -> ServeApi:
    """Serves the whole app for an upstream, with its requests noted."""

    def serve_api(upstream: DemoOllama, **changes: object) -> Api:
        app = create_app(Settings(ollama_url=upstream.url, demo="never").change(**changes))
        recorders: list[Recorder] = []

        def record(inner: ASGIApp) -> Recorder:
            recorders.append(Recorder(inner))
            return recorders[0]

        app.add_middleware(record)
        return Api(app, serve(app), recorders[0])

    return serve_api


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


def test_a_page_of_a_foreign_origin_is_refused(upstream: DemoOllama, serve_api: ServeApi, open_page: Open) -> None:
    """Its requests, preflights among them, are refused before anything is generated."""
    api = serve_api(upstream)
    for way, host in (*((way, "evil.test") for way in WAYS), (EVENT_SOURCE, "evil.localhost")):
        api.recorder.seen.clear()
        watched = open_page(way, api.port, host)
        watched.ask()
        assert api.recorder.wait(lambda seen: len(seen) > 0), way
        assert {each.status for each in api.recorder.seen} == {403}
        assert watched.answer == ""
        watched.page.goto("about:blank")
    assert upstream.requests == []


# What a page can make a browser ask for without reading the answer: elements, scripts, and ways to leave the page.
ELEMENTS = {
    "img": "<img src='{url}'>",
    "script": "<script src='{url}'></script>",
    "style": "<link rel=stylesheet href='{url}'>",
    "iframe": "<iframe src='{url}'></iframe>",
    "object": "<object data='{url}'></object>",
    "embed": "<embed src='{url}'>",
    "video": "<video src='{url}' preload=auto></video>",
    "background": "<div style='background: url({url}); height: 9px'>x</div>",
    "import": "<script type=module>import('{url}').catch(() => 0)</script>",
}
SCRIPTS = {
    "event source": "<script>new EventSource('{url}')</script>",
    "no-cors": "<script>fetch('{url}', {{mode: 'no-cors'}}).catch(() => 0)</script>",
    "no-cors post": "<script>fetch('{post}', {{mode: 'no-cors', method: 'POST', body: '{body}'}})</script>",
    "beacon": "<script>navigator.sendBeacon('{post}', '{body}')</script>",
    "prefetch": "<link rel=prefetch href='{url}'>",
    "sandbox": "<iframe sandbox=allow-scripts srcdoc=\"<script>new EventSource('{url}')</script>\"></iframe>",
}
LEAVING = {
    "link": "<a href='{url}'>go</a>",
    "form": "<form action='{get}'><input name=question value=form><button>go</button></form>",
    "form post": "<form method=post enctype=text/plain action='{post}'>"
    '<input name=\'{{"question":"hi","x":"\' value=\'"}}\'><button>go</button></form>',
}
BODY = '{"question":"hi"}'


def _put(page: Page, origin: str, target: str, elements: dict[str, str]) -> None:
    """Opens an empty page of the origin and puts the elements into it, each of which asks the target."""
    page.goto(f"{origin}/")
    for name, element in elements.items():
        get = f"{target}/stream-with-get"
        url = f"{get}?{urlencode({'question': name}, quote_via=quote)}"
        html = element.format(url=url, get=get, post=f"{target}/stream-with-post", body=BODY)
        page.evaluate("html => document.body.append(document.createRange().createContextualFragment(html))", html)


def _leave(context: BrowserContext, origin: str, target: str, api: Api) -> dict[str, int]:
    """Leaves a page of the origin for the target in every way; the status that each way got."""
    statuses = {}
    for name, element in LEAVING.items():
        api.recorder.seen.clear()
        page = context.new_page()
        _put(page, origin, target, {name: element})
        page.get_by_text("go").click()
        page.wait_for_url(f"{target}/**")
        assert api.recorder.wait(lambda seen: any(each.path != "/favicon.ico" for each in seen)), name
        statuses[name] = next(each.status for each in api.recorder.seen if each.path != "/favicon.ico")
    return statuses


def test_nothing_in_a_foreign_page_starts_a_generation(
    upstream: DemoOllama, serve_api: ServeApi, context: BrowserContext, files_port: int
) -> None:
    """Images, frames, scripts … reach the server and are refused there."""
    api = serve_api(upstream)
    elements = ELEMENTS | SCRIPTS
    _put(context.new_page(), f"http://evil.test:{files_port}", f"http://localhost:{api.port}", elements)
    assert api.recorder.wait(lambda seen: len(seen) >= len(elements)), api.recorder.seen
    assert {each.status for each in api.recorder.seen} == {403}
    assert upstream.requests == []


def test_no_way_out_of_a_foreign_page_starts_a_generation(
    upstream: DemoOllama, serve_api: ServeApi, context: BrowserContext, files_port: int
) -> None:
    """Links and forms are refused, whatever a person clicks."""
    api = serve_api(upstream)
    statuses = _leave(context, f"http://evil.test:{files_port}", f"http://localhost:{api.port}", api)
    assert statuses == dict.fromkeys(LEAVING, 403)
    assert upstream.requests == []


def test_no_element_of_a_local_page_starts_a_generation(
    upstream: DemoOllama, serve_api: ServeApi, context: BrowserContext, files_port: int
) -> None:
    """A page on another port of this machine may ask by script, but not by an image or a link in a model's answer."""
    api = serve_api(upstream)
    origin, target = f"http://localhost:{files_port}", f"http://localhost:{api.port}"
    _put(context.new_page(), origin, target, ELEMENTS)
    assert api.recorder.wait(lambda seen: len(seen) >= len(ELEMENTS)), api.recorder.seen
    statuses = _leave(context, origin, target, api)
    assert (statuses["link"], statuses["form"]) == (403, 403)
    assert upstream.requests == []


def test_nothing_in_a_foreign_page_starts_a_generation_on_a_named_server(
    upstream: DemoOllama, serve_api: ServeApi, context: BrowserContext, files_port: int
) -> None:
    """On plain http and a name of its own a server isn't told what a request is for, and believes none."""
    api = serve_api(upstream, allowed_hosts=("localhost", INTRANET))
    origin, target = f"http://evil.test:{files_port}", f"http://{INTRANET}:{api.port}"
    elements = ELEMENTS | SCRIPTS
    _put(context.new_page(), origin, target, elements)
    assert api.recorder.wait(lambda seen: len(seen) >= len(elements)), api.recorder.seen
    assert {each.status for each in api.recorder.seen} == {403}
    assert _leave(context, origin, target, api) == dict.fromkeys(LEAVING, 403)
    assert upstream.requests == []


def test_a_page_of_a_named_server_may_ask_it(paced: DemoOllama, serve_api: ServeApi, context: BrowserContext) -> None:
    """The browser names no origin and no purpose there: where the page is from is enough."""
    api = serve_api(paced, allowed_hosts=("localhost", INTRANET))
    page = context.new_page()
    page.goto(f"http://{INTRANET}:{api.port}/docs")
    answer = page.evaluate(
        """question => new Promise((resolve) => {
          const source = new EventSource("stream-with-get?question=" + encodeURIComponent(question));
          let answer = "";
          source.onmessage = (event) => (answer += event.data);
          source.onerror = () => resolve("error");
          source.addEventListener("done", () => { source.close(); resolve(answer); });
        })""",
        QUESTION,
    )
    assert answer == ANSWER


def test_the_documentation_works_without_a_network(
    upstream: DemoOllama, serve_api: ServeApi, context: BrowserContext
) -> None:
    """The page of the API loads, tries an endpoint out, and asks nobody but this machine."""
    upstream.answers["What color is the sky?"] = "It is blue."
    page, foreign, errors = _docs(context, serve_api(upstream))
    assert page.get_by_text("Demo model").count() == 0
    page.get_by_text("/nostream", exact=True).click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.get_by_text('"answer": "It is blue."').first).to_be_visible()
    assert (foreign, errors) == ([], [])


def test_the_documentation_says_that_the_demo_answers(
    serve: Callable[[FastAPI], Served], context: BrowserContext
) -> None:
    """Where no Ollama answers, the page says so in words."""
    app = create_app(Settings(ollama_url="http://127.0.0.1:9"))
    served = serve(app)
    page, foreign, errors = _docs(context, Api(app, served, Recorder(app)))
    expect(page.get_by_role("status").first).to_contain_text("Demo model: no Ollama at http://127.0.0.1:9.")
    assert (foreign, errors) == ([], [])


def _docs(context: BrowserContext, api: Api) -> tuple[Page, list[str], list[str]]:
    foreign: list[str] = []
    errors: list[str] = []

    def refuse(route: Route) -> None:
        foreign.append(route.request.url)
        route.abort()

    page = context.new_page()
    context.route(lambda url: not url.startswith((api.served.url, "data:")), refuse)
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{api.served.url}/docs")
    page.wait_for_load_state("networkidle")
    return page, foreign, errors
