"""React pages of another origin in a real Chromium, in each of the ways that people write against the plain endpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route, expect, sync_playwright

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.browser_support import CuttingProxy, Recorder, build, find_chromium, serving_files
from tests.support import Served

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
        expect(self.page.get_by_role("status")).to_have_text(state, timeout=20_000)

    @property
    def answer(self) -> str:
        """The text shown now."""
        return self.page.get_by_role("log").text_content() or ""

    def shows(self, text: str) -> None:
        """Waits for this text in the answer."""
        expect(self.page.get_by_role("log")).to_contain_text(text)


Open = Callable[..., Watched]


@pytest.fixture
def open_page(context: BrowserContext, files_port: int) -> Open:
    """Opens the page of a way on an origin of its own; the API is at a port of localhost."""

    def open_page(way: str, api_port: int, host: str = "localhost", **query: str) -> Watched:
        watched = Watched(context.new_page())
        address = f"http://localhost:{api_port}"
        on_request = lambda request: watched.asked.append(request) if request.url.startswith(address) else None  # noqa: E731
        watched.page.on("request", on_request)
        watched.page.on("console", lambda message: watched.errors.append(message.text) if message.type == "error" else None)
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

        def record(inner: object) -> Recorder:
            recorders.append(Recorder(inner))  # type: ignore[arg-type]
            return recorders[0]

        app.add_middleware(record)  # type: ignore[arg-type]
        return Api(app, serve(app), recorders[0])

    return serve_api


def generations(upstream: DemoOllama) -> int:
    """How many answers the upstream was asked for."""
    return sum(request.path == "/api/chat" for request in upstream.requests)


def port_of(url: str) -> int:
    """The port in an address."""
    return int(url.rpartition(":")[2])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("way", WAYS)
def test_the_answer_is_exact_after_one_request(
    way: str, host: str, paced: DemoOllama, serve_api: ServeApi, open_page: Open
) -> None:
    """A page of another origin shows the exact text, asks once, and no error is seen."""
    api = serve_api(paced)
    watched = open_page(way, api.port, host)
    watched.ask()
    watched.ends("done")
    assert watched.answer == ANSWER
    assert api.asked == [(*ENDPOINTS[way], 200)]
    assert [request.method for request in watched.asked] == [ENDPOINTS[way][0]]
    assert generations(paced) == 1
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
    watched.page.close()
    assert upstream.wait_idle()


@pytest.mark.parametrize("way", [EVENT_SOURCE, GET, POST])
def test_a_cut_connection_goes_on_where_it_was(
    way: str, paced: DemoOllama, serve_api: ServeApi, open_page: Open
) -> None:
    """The client connects again by itself, says what it has, and shows the exact text of the same run."""
    api = serve_api(paced)
    with CuttingProxy(api.served.url, before="id: [^\n]*\ndata: [^\n]*sk") as proxy:
        watched = open_page(way, proxy.port, patient="")
        watched.ask()
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
    with CuttingProxy(api.served.url, before="id: [^\n]*\nevent: done") as proxy:
        watched = open_page(way, proxy.port, patient="")
        watched.ask()
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
    assert [status for *_, status in api.asked] == [200, 204]
    assert generations(paced) == 1


def test_a_client_that_takes_the_end_for_a_cut_starts_nothing(
    paced: DemoOllama, serve_api: ServeApi, open_page: Open
) -> None:
    """Code that posts again after every end, as in fetch-event-source's README, gets 204 and no second answer."""
    api = serve_api(paced)
    watched = open_page(POST, api.port, **{"retry-after-close": ""})
    watched.ask()
    assert api.recorder.wait_ended(2)
    assert [status for *_, status in api.asked] == [200, 204]
    assert watched.answer == ANSWER
    assert generations(paced) == 1


@pytest.mark.parametrize("way", [GET, POST])
def test_a_tab_hidden_and_shown_again_goes_on_with_its_run(
    way: str, serve_api: ServeApi, open_page: Open
) -> None:
    """fetch-event-source drops the connection of a hidden tab and asks again: the same run, the exact text."""
    with DemoOllama(tokens_per_s=60) as upstream:
        upstream.answers[QUESTION] = ANSWER
        api = serve_api(upstream)
        watched = open_page(way, api.port)
        watched.ask()
        watched.shows("Two")
        _hide(watched.page, hidden=True)
        assert api.recorder.wait_ended(1)
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
    state = watched.page.get_by_role("status")
    expect(state).to_contain_text("failed: ")
    assert watched.answer == "The sky is blue because"
    shown = state.text_content() or ""
    assert "HTTP" not in shown
    assert not any(word in shown for word in ("Traceback", "/home", "41237", "Error("))
    assert api.asked == [(*ENDPOINTS[way], 200)]
    assert watched.errors == []


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("way", WAYS)
def test_a_page_of_a_foreign_origin_is_refused(
    way: str, host: str, upstream: DemoOllama, serve_api: ServeApi, open_page: Open
) -> None:
    """Its requests are refused before anything is generated."""
    api = serve_api(upstream)
    watched = open_page(way, api.port, host)
    watched.ask()
    assert api.recorder.seen or _waits_for_request(api, watched)
    watched.page.wait_for_function("document.querySelector('[role=log]').textContent === ''")
    assert api.recorder.wait_ended(0)
    assert {each.status for each in api.recorder.seen} <= {400, 403}
    assert upstream.requests == []


def _waits_for_request(api: Api, watched: Watched) -> bool:
    watched.page.wait_for_load_state("networkidle")
    return bool(api.recorder.seen)


# Everything with which a page can make a browser fetch an address without a script reading the answer.
SUBRESOURCES = {
    "img": "<img src='{url}'>",
    "script": "<script src='{url}'></script>",
    "style": "<link rel=stylesheet href='{url}'>",
    "icon": "<link rel=icon href='{url}'>",
    "iframe": "<iframe src='{url}'></iframe>",
    "object": "<object data='{url}'></object>",
    "embed": "<embed src='{url}'>",
    "video": "<video src='{url}' autoplay muted></video>",
    "background": "<div style=\"background: url('{url}'); height: 9px\">x</div>",
    "import": "<script type=module>import('{url}')</script>",
}
NAVIGATIONS = {
    "link": "<a id=go href='{url}'>x</a>",
    "form": "<form action='{base}'><input name=question value=hi><button id=go></button></form>",
    "form post": "<form method=post enctype=text/plain action='{post}'>"
    '<input name=\'{{"question": "hi", "x": "\' value=\'"}}\'><button id=go></button></form>',
}
SCRIPTS = {
    "no-cors": "fetch('{url}', {{mode: 'no-cors'}}).catch(() => 0)",
    "no-cors post": "fetch('{post}', {{mode: 'no-cors', method: 'POST', body: '{{\"question\": \"hi\"}}'}}).catch(() => 0)",
    "beacon": "navigator.sendBeacon('{post}', '{{\"question\": \"hi\"}}')",
    "event source": "new EventSource('{url}')",
    "prefetch": "document.head.append(Object.assign(document.createElement('link'), {{rel: 'prefetch', href: '{url}'}}))",
    "sandboxed": "document.body.append(Object.assign(document.createElement('iframe'), {{sandbox: 'allow-scripts', "
    "srcdoc: '<script>new EventSource(\"{url}\")</' + 'script>'}}))",
}


@pytest.mark.parametrize("name", [*SUBRESOURCES, *NAVIGATIONS, *SCRIPTS])
def test_nothing_in_a_foreign_page_starts_a_generation(
    name: str, upstream: DemoOllama, serve_api: ServeApi, context: BrowserContext, files_port: int
) -> None:
    """An image, a link, a form … reaches the server and is refused there."""
    api = serve_api(upstream)
    _try(name, api, context, f"http://evil.test:{files_port}", f"http://localhost:{api.port}")
    assert {each.status for each in api.recorder.seen} == {403}
    assert upstream.requests == []


@pytest.mark.parametrize("name", [*SUBRESOURCES, "link", "form"])
def test_no_image_or_link_starts_a_generation_from_a_local_page_either(
    name: str, upstream: DemoOllama, serve_api: ServeApi, context: BrowserContext, files_port: int
) -> None:
    """A page on another port of this machine may ask by script, but not by an image or a link in a model's answer."""
    api = serve_api(upstream)
    _try(name, api, context, f"http://localhost:{files_port}", f"http://localhost:{api.port}")
    assert upstream.requests == []


@pytest.mark.parametrize("name", ["img", "script", "iframe", "link", "form", "no-cors", "prefetch"])
def test_nothing_in_a_foreign_page_starts_a_generation_on_a_named_server(
    name: str, upstream: DemoOllama, serve_api: ServeApi, context: BrowserContext, files_port: int
) -> None:
    """To a server on plain http with a name of its own, a browser does not say what a request is for: none is believed."""
    api = serve_api(upstream, allowed_hosts=("localhost", INTRANET))
    _try(name, api, context, f"http://evil.test:{files_port}", f"http://{INTRANET}:{api.port}")
    assert {each.status for each in api.recorder.seen} == {403}
    assert upstream.requests == []


def _try(name: str, api: Api, context: BrowserContext, origin: str, target: str) -> None:
    urls = {
        "url": f"{target}/stream-with-get?question=hi",
        "base": f"{target}/stream-with-get",
        "post": f"{target}/stream-with-post",
    }
    page = context.new_page()
    page.goto(f"{origin}/")
    with page.expect_event("framenavigated" if name in NAVIGATIONS else "request", lambda _: True):
        if name in SCRIPTS:
            page.evaluate(f"() => {{ {SCRIPTS[name].format(**urls)} }}")
        else:
            page.evaluate("html => document.body.append(document.createRange().createContextualFragment(html))",
                          {**SUBRESOURCES, **NAVIGATIONS}[name].format(**urls))
            if name in NAVIGATIONS:
                page.click("#go")
    assert api.recorder.wait_ended(1)


def test_the_documentation_works_without_a_network(
    upstream: DemoOllama, serve_api: ServeApi, context: BrowserContext
) -> None:
    """The page of the API loads, lists the endpoints, and asks nobody but this machine."""
    page, foreign, errors = _docs(context, serve_api(upstream))
    expect(page.get_by_text("/stream-with-post", exact=True)).to_be_visible()
    assert page.get_by_text("Demo model").count() == 0
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
