"""What pages of other sites and of named servers can do in a real browser, and the documentation there."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, urlencode

import pytest
from fastapi import FastAPI
from playwright.sync_api import BrowserContext, Page, Route, expect

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.browser import Recorder
from tests.support.browser_pages import (
    ANSWER,
    EVENT_SOURCE,
    INTRANET,
    QUESTION,
    WAYS,
    Api,
    Open,
    ServeApi,
)
from tests.support.serving import Served

pytestmark = pytest.mark.timeout(180)  # the first test builds the pages


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
