"""The chat page in a real Chromium when things go wrong: reloads, cuts, hidden tabs, refusals, a model that fails."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import expect

from llmstream.demo_ollama import DemoOllama, Pause
from llmstream.fastapi import create_app
from llmstream.ollama_server.backend import ChatRequest, Model, OllamaError
from llmstream.settings import Settings
from tests.support.browser import CuttingProxy
from tests.support.faultkit import eventually
from tests.support.npm import NOBODY
from tests.support.page import ANSWER, HALF, NETWORK, QUESTION, Held, Pages, site
from tests.support.serving import generations, serving

LONG = "word " * 300


def test_a_reload_in_mid_answer(pages: Pages, held: Held) -> None:
    """What had come is there at once, and the rest follows; a reload after the end asks nothing again either."""
    chat = pages.open(held.site.url).ask()
    held.is_shown_to(chat)
    chat.page.reload()
    held.is_shown_to(chat)
    held.go()
    held.is_whole(chat)
    chat.page.reload()
    held.is_whole(chat)
    assert 1 == held.site.count("POST", "/runs")


def test_a_cut_connection(pages: Pages, held: Held) -> None:
    """The page comes back by itself with the number it has."""
    pages.expected = NETWORK
    held.go()
    with CuttingProxy(held.site.url, before='"text":"9"') as proxy:
        chat = pages.open(f"http://127.0.0.1:{proxy.port}").ask()
        held.is_whole(chat)
        assert proxy.has_cut
    assert (1, 2) == (held.site.count("POST", "/runs"), held.site.count("GET", "/events"))


def _fails(request: ChatRequest) -> str:
    raise OllamaError("out of memory")


def test_a_stopped_answer_is_continued(pages: Pages) -> None:
    """What there is stays in sight, the rest is added to it, and the line under the answer says so.

    A complete answer has no such button; one that fails again keeps its text and the button.
    """
    half = ANSWER[: ANSWER.index(HALF) + len(HALF)]
    with DemoOllama(tokens_per_s=None) as upstream, site(upstream) as served:
        upstream.answers[QUESTION] = lambda request: ANSWER if request.begun else [half, Pause(600)]
        upstream.answers["And then?"] = [half, Pause(600)]
        chat = pages.open(served.url).ask().shows(rf"{HALF}\s*$")
        chat.button("Stop").click()
        chat.ends("The answer was stopped.").button("Continue").click()
        chat.shows("The end.").ends()
        assert ANSWER == chat.copied()
        chat.shows("· continued")
        expect(chat.button("Continue")).to_have_count(0)
        assert (1, 1, 2) == (served.count("POST", "/runs"), served.count("POST", "/continue"), generations(upstream))

        chat.ask("And then?").shows(rf"{HALF}\s*$")
        chat.button("Stop").click()
        chat.ends("The answer was stopped.")
        upstream.answers["And then?"] = _fails
        chat.button("Continue").click()
        chat.shows("This answer is not complete. Ollama refused").shows(HALF)
        expect(chat.button("Continue")).to_be_visible()


def test_a_network_that_goes_and_comes_back(pages: Pages, held: Held) -> None:
    """The page says that it reconnects, and goes on when the browser is online again."""
    pages.expected = NETWORK
    # Offline, Chromium refuses new connections only; the open one is cut by the proxy.
    with CuttingProxy(held.site.url, before='"text":"20"') as proxy:
        chat = pages.open(f"http://127.0.0.1:{proxy.port}").ask()
        held.is_shown_to(chat)
        chat.page.context.set_offline(True)
        held.go()
        chat.shows("The connection was lost. Reconnecting …")
        chat.page.context.set_offline(False)
        held.is_whole(chat)
    assert 1 == held.site.count("POST", "/runs")


def test_a_stop_while_the_network_is_away(pages: Pages, held: Held) -> None:
    """The answer ends at once, the page says that the server was away, and it is told when the network is back."""
    pages.expected = NETWORK
    chat = pages.open(held.site.url).ask()
    held.is_shown_to(chat)
    chat.page.context.set_offline(True)
    chat.button("Stop").click()
    chat.ends("The answer was stopped while the server could not be reached.")
    chat.page.context.set_offline(False)
    assert eventually(lambda: held.site.count("POST", "/stop"))


def test_a_network_that_stays_away(pages: Pages, held: Held) -> None:
    """After many tries the page stops trying, says so in words, keeps the text, and offers to reconnect."""
    pages.expected = NETWORK
    events = "**/events*"
    with CuttingProxy(held.site.url, before='"text":"20"') as proxy:
        chat = pages.open(f"http://127.0.0.1:{proxy.port}").ask()
        held.is_shown_to(chat)
        chat.page.route(events, lambda route: route.abort("connectionrefused"))
        held.go()
        chat.shows("Reconnecting")
        while chat.alert.count() == 0:  # a page that is shown again does not wait for its next try
            chat.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        chat.shows("This answer is not complete. The connection was lost and did not come back.", "[role=alert]")
        # Not up to the last byte: a browser drops what a broken stream still holds.
        chat.ends("The answer is not complete.").shows("times 5")
        chat.page.unroute(events)
        chat.button("Reconnect").click()
        expect(chat.composer).to_be_focused()
        held.is_whole(chat)


def test_two_tabs_on_one_run(pages: Pages, held: Held) -> None:
    """The link opens the run in a second tab; both show it whole."""
    chat = pages.open(held.site.url).ask()
    held.is_shown_to(chat)
    with chat.page.context.expect_page() as opened:
        chat.page.get_by_role("link", name="Follow in another tab").click()
    second = pages.of(opened.value)
    held.is_shown_to(second)
    held.go()
    for tab in (chat, second):
        tab.page.bring_to_front()
        held.is_whole(tab)
    assert "" == urlsplit(second.page.url).fragment
    assert (1, 2) == (held.site.count("POST", "/runs"), held.site.count("GET", "/events"))


def test_another_view_leaves_the_answer_alone(pages: Pages, held: Held) -> None:
    """Whoever looks at the wire panel meanwhile finds the answer whole."""
    chat = pages.open(held.site.url).ask()
    held.is_shown_to(chat)
    chat.button("Wire").click()
    expect(chat.log).to_have_count(0)
    held.go()
    chat.button("Chat").click()
    held.is_whole(chat)
    assert 1 == held.site.count("POST", "/runs")


def test_a_hidden_tab_goes_on(pages: Pages, held: Held) -> None:
    """No frames are drawn in a hidden tab; the answer goes on there, and is right when the tab is shown."""
    chat = pages.open(held.site.url).ask()
    held.is_shown_to(chat)
    # Headless Chromium counts every tab as visible: this one is told that it is hidden, and gets no more frames.
    chat.page.evaluate(
        """() => {
          window.requestAnimationFrame = () => 0;
          Object.defineProperties(document, {
            hidden: { get: () => true, configurable: true },
            visibilityState: { get: () => "hidden", configurable: true },
          });
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    held.go()
    chat.shows("The end.")
    chat.page.evaluate(
        """() => {
          delete document.hidden;
          delete document.visibilityState;
          delete window.requestAnimationFrame;
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    held.is_whole(chat)
    assert 1 == held.site.count("GET", "/events")


def test_a_frozen_tab_is_right_when_it_thaws(pages: Pages, held: Held) -> None:
    """A tab that the browser puts to sleep until after the end shows the whole answer when it wakes."""
    pages.expected = NETWORK
    chat = pages.open(held.site.url).ask()
    held.is_shown_to(chat)
    session = chat.page.context.new_cdp_session(chat.page)
    session.send("Page.setWebLifecycleState", {"state": "frozen"})
    held.go()
    assert held.site.recorder.wait(lambda seen: any(each.path.endswith("/events") for each in seen))
    session.send("Page.setWebLifecycleState", {"state": "active"})
    held.is_whole(chat)


def test_a_model_that_fails(pages: Pages, upstream: DemoOllama) -> None:
    """Each failure is told in words, with what came before it; then the next question is answered."""
    told = {
        "demo:cut": "This answer is not complete. The answer broke off: the connection to Ollama was cut. Ask again.",
        "demo:error-path": "This answer is not complete. Ollama",
        "demo:forbidden": "No answer. ",
        "demo:html-502": "No answer. ",
        "gone:latest": "No answer. The model 'gone:latest' is not there. Get it with ollama pull gone:latest.",
    }
    cut = "The answer was cut at its length limit."
    odd = {
        "demo:length": (cut, cut),
        "demo:empty": ("The model answered nothing.", "The answer is complete."),
        "demo:thinking-only": ("The model answered nothing.", "The answer is complete."),
    }
    pages.expected = "status of 404"
    for name in (*told, *odd):
        upstream.models[name] = Model(name)
    with site(upstream, model="demo:latest", num_ctx=256) as served:
        chat = pages.open(served.url)
        chat.pick("gone:latest")
        del upstream.models["gone:latest"]
        for model, text in reversed(told.items()):
            if model != "gone:latest":
                chat.pick(model)
            chat.ask().shows(text, "[role=alert]").ends("The answer is not complete.")
            expect(chat.composer).to_be_focused()
        for model, (text, said) in odd.items():
            chat.pick(model)
            chat.ask().shows(text).ends(said)
        assert not any(word in chat.log.inner_text() for word in ("Traceback", "/home", "/usr", "<html", "41237"))
        chat.pick("")
        upstream.answers[LONG] = "Short."
        chat.button("New chat").click()
        chat.ask(LONG).shows("Short.*the conversation was cut to fit the model").ends()


def test_a_server_that_refuses_or_is_gone(pages: Pages, upstream: DemoOllama) -> None:
    """A missing token, an Ollama that can't be reached and a server that is gone: in words, and with what to do."""
    pages.expected = f"{NETWORK}|status of 401|status of 502"
    with site(upstream, model="demo:latest", token="secret") as served:
        chat = pages.open(f"{served.url}/?token=secret")
        assert f"{served.url}/" == chat.page.url
        cookies = chat.page.context.cookies()
        chat.page.context.clear_cookies()
        chat.ask().shows("No answer. This server wants a token", "[role=alert]").ends("The answer is not complete.")
        chat.shows("This server wants a token", "[role=note]")
        assert 1 == served.count("POST", "/runs")
        chat.page.context.add_cookies(cookies)  # type: ignore[arg-type]
        upstream.close()
        chat.button("Retry").click()
        chat.shows("No answer. The model can't be reached. Ask again later.", "[role=alert]")  # others may be here, too
        chat.shows("The model can't be reached", "[role=note]").ends("The answer is not complete.")
        upstream.start()
    chat.button("Retry").click()
    chat.shows("No answer. The server can't be reached. Is it running, and this page allowed (CORS)?", "[role=alert]")
    chat.shows("Is llmstream serve running?", "[role=note]").ends("The answer is not complete.")


def test_waiting_is_told(pages: Pages, upstream: DemoOllama) -> None:
    """A model that loads, and a place in the queue, which moves up."""
    with site(upstream, model="demo:silent", max_active_runs=1) as served:
        first, second, third = (pages.open(served.url) for _ in range(3))
        first.ask().shows("Loading demo:silent into memory.")
        for place, chat in ((1, second), (2, third)):
            chat.ask().shows(f"Waiting for a place: number {place} in the queue.")
        expect(third.status).to_have_text("The answer is being written.")
        second.page.keyboard.press("Escape")
        second.shows("The answer was stopped.")
        third.shows("number 1 in the queue.")
        first.page.keyboard.press("Escape")
        third.shows("Loading demo:silent into memory.")
        assert (2, 1) == (generations(upstream), upstream.active)


def test_the_demo_says_that_it_is_one(pages: Pages) -> None:
    """Where no Ollama answers, the page says so, and how to start one."""
    with serving(create_app(Settings(ollama_url=NOBODY, drain_s=0))) as served:
        chat = pages.open(served.url)
        chat.shows(f"Demo model: no Ollama at {NOBODY}. Start one with ollama serve", "[role=note]")
        chat.ask().shows("the demo knows without a language model")
