"""The Gradio chat in a real Chromium: a conversation, every way to stop, leaving, faults, hostile answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Literal

import gradio
import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.gradio import create_chat
from llmstream.gradio.messages import message
from llmstream.ollama_server.backend import Model
from llmstream.settings import Settings
from tests.support.browser import without_past
from tests.support.faultkit import eventually
from tests.support.gradio_browser import TIMEOUT_MS, Chat, launched
from tests.support.hard_texts import HARD_TEXTS

# Gradio makes an event loop wherever none runs, and leaves it to the garbage collector, which complains.
pytestmark = [pytest.mark.timeout(180), pytest.mark.filterwarnings("ignore::ResourceWarning")]

# Behind Gradio's own scrolling to the end, for which it has a timer of 300 ms that is set by now.
_SCROLL_UP = "log => new Promise((done) => setTimeout(() => done(log.scrollTo(0, 0)), 300))"
STALLED = "1 2 3"  # what demo:stall-3 says
SILENT = ("demo:silent", "demo:stall-3")
HOSTILE = (
    '<script>window.pwned = 1</script><img src=x onerror="window.pwned = 1">',
    '<svg onload="window.pwned = 1"></svg><iframe srcdoc="<script>parent.pwned = 1</script>"></iframe>',
    '<a href="javascript:window.pwned = 1">click</a> [click](javascript:window.pwned=1)',
    '<custom-tag onclick="window.pwned = 1">tag</custom-tag><object data="https://evil.example/x"></object>',
    "<style>body { background: url(https://evil.example/style.png) }</style><base href='https://evil.example/'>",
    '![picture](https://evil.example/markdown.png) <img src="https://evil.example/tag.png">',
    "[ref]: https://evil.example/ref.png\n\n![ref]",
    '$$\\href{javascript:window.pwned=1}{x}$$ <meta http-equiv="refresh" content="0;url=https://evil.example">',
    "```mermaid\ngraph TD; A[<img src=x onerror=window.pwned=1>] --> B\n```",
    # The last one: what is refused to leave keeps Playwright waiting before it types again.
    '<form action="https://evil.example"><input name="x"><button>Go</button></form>',
)


Open = Callable[..., Chat]
Scheme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def ollama() -> Iterator[DemoOllama]:
    """A demo Ollama whose scenarios can be picked."""
    with DemoOllama(tokens_per_s=300, scenarios=True) as server:
        for name in (*SILENT, "demo:length", "demo:error-line"):
            server.models[name] = Model(name)
        yield server


@pytest.fixture
def upstream(ollama: DemoOllama) -> Iterator[DemoOllama]:
    """The demo Ollama, which is left idle and forgets what a test has taught it."""
    yield ollama
    ollama.answers.clear()
    assert ollama.wait_idle()


@pytest.fixture(scope="module")
def chat_url(ollama: DemoOllama) -> Iterator[str]:
    """The address of the chat."""
    settings = Settings(ollama_url=ollama.url, model="demo:latest", demo="never", drain_s=0)
    with launched(create_chat(settings=settings)) as url:
        yield url


@pytest.fixture
def open_chat(profile: BrowserContext, browser: Browser, chat_url: str, upstream: DemoOllama) -> Iterator[Open]:
    """Opens the chat in a browser without a past, and picks a model; a second one is another person's."""
    with ExitStack() as stack:
        others: list[Chat] = []

        def open_chat(model: str = "", *, width: int = 1280, scheme: Scheme = "light") -> Chat:
            context = stack.enter_context(browser.new_context() if others else without_past(profile))
            opened = Chat(context.new_page())
            others.append(opened)
            opened.page.set_viewport_size({"width": width, "height": 700})
            opened.page.emulate_media(color_scheme=scheme)
            opened.page.on("request", lambda request: opened.asked.append(request))
            opened.page.goto(chat_url, timeout=TIMEOUT_MS)
            opened.has_models()
            if model:
                opened.pick(model)
            return opened

        yield open_chat


def test_conversation(open_chat: Open, upstream: DemoOllama) -> None:
    """Two questions are answered, the second one with what was said before, and the line under them tells figures.

    Who asks from further up is shown the question.
    """
    long = "Because of **this**:\n\n    code\n" + "\nLine.\n" * 60
    upstream.answers |= {"Why?": long, "And why?": "Because of that."}
    chat = open_chat()
    chat.ask("Why?")
    chat.shows("Because of this:")
    chat.ends()
    expect(chat.page.get_by_role("button", name="Retry")).to_be_enabled(timeout=TIMEOUT_MS)
    chat.page.get_by_role("log").evaluate(_SCROLL_UP)
    chat.ask("And why?")
    chat.shows("Because of that.")
    expect(chat.page.locator(".llmstream-chat .user-row").last).to_be_in_viewport()
    chat.ends()
    expect(chat.page.locator(".llmstream-line").first).to_contain_text(
        re.compile(r"to first token · \d+ tokens · .*tokens/s · demo:latest")
    )
    sent = [request.body["messages"] for request in upstream.requests if request.path == "/api/chat"][-1]
    assert [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": long},
        {"role": "user", "content": "And why?"},
    ] == sent


def test_code_is_the_models_to_the_last_space(open_chat: Open, upstream: DemoOllama) -> None:
    """A block of code shows the model's tabs, spaces and empty lines, wherever it stands."""
    whole = "\tdef f():\n\n\t\treturn 1  \n\n \t ```\n        # eight spaces, e\u0301 👩\u200d👧 \xa0\n"
    item = "all:\n\techo 1\n"
    indented = item.replace("all", "  all").replace("\t", "  \t")
    listed = f"- A list:\n\n  ~~~make\n{indented}  ~~~\n- Tabs:\n\n\t```go\n\tfunc f() {{\n\t\treturn\n\t}}\n\t```\n"
    upstream.answers["Why?"] = f"```python\n{whole}```\n\n{listed}- The end."
    chat = open_chat()
    chat.ask()
    chat.shows("The end.")
    chat.ends()
    assert [whole, item, "func f() {\n\treturn\n}\n"] == [
        code.text_content() for code in chat.page.locator(".llmstream-chat pre code").all()
    ]


@pytest.mark.parametrize("model", SILENT)
def test_stop_frees_the_model(open_chat: Open, upstream: DemoOllama, model: str) -> None:
    """Stop ends an answer before its first token and in its middle; what came is marked, also while it comes."""
    chat = open_chat(model)
    chat.ask()
    assert upstream.wait_active(timeout_s=20)
    if model == "demo:stall-3":
        chat.shows(STALLED)
        expect(chat.page.locator(".llmstream-line").first).to_have_text("Not complete yet.", timeout=TIMEOUT_MS)
    chat.stop()
    assert upstream.wait_idle()
    expect(chat.page.locator(".llmstream-line").first).to_have_text("", timeout=TIMEOUT_MS)
    assert ([STALLED] if model == "demo:stall-3" else []) == [text for text in chat.answers if text == STALLED]


@pytest.mark.parametrize("way", ["retry", "edit", "example"])
def test_stop_works_in_every_way_to_ask(open_chat: Open, upstream: DemoOllama, way: str) -> None:
    """An answer asked for by retry, edit or an example is stopped like any other."""
    chat = open_chat("demo:stall-3" if way == "example" else "demo:error-line")
    if way == "example":
        chat.page.get_by_role("button", name="What color is the sky?").click()
    else:
        chat.ask()
        chat.ends()
        chat.pick("demo:stall-3")
    if way == "retry":
        chat.press("Retry")
    elif way == "edit":
        chat.press("Edit")
        chat.page.get_by_role("log").get_by_role("textbox").fill("Why not?")
        chat.press("Submit")
    chat.shows(STALLED)
    assert upstream.active == 1
    chat.stop()
    assert upstream.wait_idle()
    asked = {"retry": "Why?", "edit": "Why not?", "example": "What color is the sky?"}[way]
    assert asked == upstream.requests[-1].body["messages"][-1]["content"]


def test_a_cut_answer_is_continued(open_chat: Open) -> None:
    """A click on Continue adds to the answer that there is, as often as it is cut, and what cut it is told below it."""
    told = "The answer was cut at its length limit."
    chat = open_chat("demo:length")
    chat.ask()
    chat.shows(told)
    chat.ends()
    chat.page.get_by_role("button", name="Continue").click()
    chat.shows("The sky is blue because air scatters blue light more")
    chat.ends()
    chat.page.get_by_role("button", name="Continue").click()
    chat.shows(SENTENCE)
    chat.ends()
    assert [SENTENCE, told] == chat.answers


@pytest.mark.parametrize("model", SILENT)
def test_closed_tab_frees_the_model(open_chat: Open, upstream: DemoOllama, model: str) -> None:
    """A closed tab ends the answer, also one that has not begun."""
    chat = open_chat(model)
    chat.ask()
    assert upstream.wait_active(timeout_s=20)
    chat.page.close()
    assert upstream.wait_idle(timeout_s=20)  # it may be gone before it has opened the stream of its events


def test_cleared_conversation_stays_empty(open_chat: Open, upstream: DemoOllama) -> None:
    """Clearing the conversation while an answer comes ends it, and it does not come back."""
    chat = open_chat("demo:stall-3")
    chat.ask()
    chat.shows(STALLED)
    chat.page.get_by_role("button", name="Clear").click()
    assert upstream.wait_idle()
    chat.ends()
    assert [] == chat.answers


def test_undo_gives_the_question_back(open_chat: Open) -> None:
    """Undo takes the last question and its answer away, and puts the question into the box."""
    chat = open_chat("demo:length")
    chat.ask("Why?")
    chat.ends()
    chat.press("Undo")
    expect(chat.page.get_by_role("textbox").first).to_have_value("Why?", timeout=TIMEOUT_MS)
    assert [] == chat.answers


def test_two_users_at_once(open_chat: Open, upstream: DemoOllama) -> None:
    """Two people have a conversation at the same time, each their own."""
    upstream.answers |= {"One?": "one " * 600 + "end", "Two?": "two " * 600 + "end"}
    one = open_chat()
    two = open_chat()
    one.ask("One?")
    two.ask("Two?")
    assert upstream.wait_active(2, timeout_s=20)
    for chat, word in ((one, "one"), (two, "two")):
        chat.shows("end")
        chat.ends()
        assert [f"{word} " * 600 + "end"] == chat.answers


def test_upstream_fault_keeps_the_text(open_chat: Open) -> None:
    """An answer that breaks off keeps its text, says so in words, and can be tried again."""
    chat = open_chat("demo:error-line")
    chat.ask()
    chat.shows("The sky is blue because")
    chat.shows("The answer is not complete")
    chat.ends()
    chat.press("Retry")
    chat.ends()
    assert "Traceback" not in chat.page.content()


def test_thinking_is_folded(open_chat: Open, upstream: DemoOllama) -> None:
    """Thinking that was asked for in the panel is a note of its own, with its time."""
    upstream.answers["Why?"] = "Because."
    chat = open_chat("demo-thinking:latest")
    chat.page.locator(".llmstream-panel .toggle-button").click()
    chat.page.get_by_label("Think before answering").check()
    chat.ask()
    chat.shows("Because.")
    expect(chat.page.get_by_role("log")).to_contain_text(re.compile(r"Thinking\s*\([\d.]+s\)"))


def test_hostile_answers_are_inert(open_chat: Open, upstream: DemoOllama) -> None:
    """Nothing in an answer runs, leads to a script or loads anything from another host."""
    chat = open_chat()
    address = chat.page.url
    for number, text in enumerate(HOSTILE):
        upstream.answers[f"Question {number}"] = f"Begin\n\n{text}\n\nThe end of {number}."
        chat.ask(f"Question {number}")
        chat.shows(f"The end of {number}.")
        chat.ends()
        for link in chat.page.locator(".llmstream-chat a").all():
            assert re.match("https?:", link.get_attribute("href") or "http:")
        answer = chat.page.locator(".llmstream-chat .bot-row").last
        for clickable in answer.locator(".message-content :is(a, button, custom-tag)").all():
            clickable.dispatch_event("click")
        assert (True, address) == (chat.page.evaluate("window.pwned === undefined"), chat.page.url), text
        assert 0 == chat.page.locator(".llmstream-chat :is(script, iframe, object, base, meta)").count(), text
        reached = [request.url for request in chat.asked if request.failure is None]
        assert [] == [url for url in reached if not url.startswith(("http://127.0.0.1", "data:", "blob:"))], text


def test_every_word_can_be_read(browser: Browser, settings: Settings) -> None:
    """Nothing that a person or a model wrote is lost, prices are no formulas, and formulas are."""
    messages = [message(role, text.text) for text in HARD_TEXTS for role in ("user", "assistant")]
    chat = create_chat(settings=settings)
    conversation = next(block for block in chat.blocks.values() if isinstance(block, gradio.Chatbot))
    with chat:
        chat.load(lambda: messages, None, conversation, preprocess=False, postprocess=False)
    with launched(chat) as url, browser.new_context() as context:
        page = context.new_page()
        page.goto(url, timeout=TIMEOUT_MS)
        found = page.locator(".llmstream-chat :is(.user-row, .bot-row) .message-content")
        expect(found).to_have_count(len(messages), timeout=TIMEOUT_MS)
        twice = [text for text in HARD_TEXTS for role in ("user", "assistant")]

        def lost() -> list[object]:
            shown = zip(twice, found.all_inner_texts(), strict=True)
            return [(text.name, missing) for text, what in shown if (missing := text.missing(what))]

        eventually(lambda: not lost())  # some is drawn a moment after its message is there
        assert [] == lost()
        assert [text.formulas for text in twice] == [each.locator(".katex").count() for each in found.all()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_fits_the_screen(open_chat: Open, upstream: DemoOllama, scheme: Scheme, width: int) -> None:
    """On a phone and on a desk, light and dark: nothing is cut off, and the message box stays in sight."""
    upstream.answers["Why?"] = "Long word " + "x" * 300 + "\n\n```python\n" + "y" * 300 + "\n```\n" + "Line.\n\n" * 60
    chat = open_chat(width=width, scheme=scheme)
    chat.ask()
    chat.shows("Line.")
    chat.ends()
    assert width >= chat.page.evaluate("document.documentElement.scrollWidth")
    text = chat.page.locator(".llmstream-chat .bot-row .message-content").last.bounding_box()
    assert text is not None
    assert width >= text["x"] + text["width"]
    expect(chat.page.get_by_role("textbox").first).to_be_in_viewport()
    conversation = chat.page.locator(".llmstream-chat").get_by_role("log")
    copy, code = (
        conversation.locator(".copy_code_button").bounding_box(),
        conversation.locator("pre code").bounding_box(),
    )
    assert copy is not None
    assert code is not None
    assert copy["y"] + copy["height"] <= code["y"]
    bin_touches = "(bin, shown) => bin.getBoundingClientRect().bottom + 4 > shown.getBoundingClientRect().top"
    assert not chat.page.get_by_role("button", name="Clear").evaluate(bin_touches, conversation.element_handle())
    dark = "document.body.classList.contains('dark')"
    assert (scheme == "dark") == chat.page.evaluate(dark)
    chat.page.get_by_role("button", name="Light or dark").click()
    assert (scheme == "light") == chat.page.evaluate(dark)


def test_page_says_that_the_demo_answers(browser: Browser, settings: Settings) -> None:
    """Where the demo answers, the page says so."""
    chat = create_chat(settings=settings.change(demo="always"))
    with launched(chat) as url, browser.new_context() as context:
        page = context.new_page()
        page.goto(url)
        expect(page.locator(".llmstream-notice").first).to_contain_text("Demo model", timeout=TIMEOUT_MS)


@pytest.mark.parametrize("place", ["rendered", "nested", "tab"])
def test_chat_in_blocks_of_ones_own(browser: Browser, settings: Settings, upstream: DemoOllama, place: str) -> None:
    """In somebody's own Blocks the chat has its doors and its looks, loses no word, and has room to be read."""
    upstream.answers["Write <a> & $5."] = "It is Vec<String>, $5 and $10."
    with gradio.Blocks() as demo:
        gradio.Markdown("# My own page")
        if place == "rendered":
            create_chat(settings=settings).render()
        elif place == "nested":
            create_chat(settings=settings)
    if place == "tab":
        demo = gradio.TabbedInterface([create_chat(settings=settings), gradio.Blocks()], ["Chat", "Other"])
    with launched(demo) as url, browser.new_context() as context:
        answer = httpx.get(url)
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert 421 == httpx.get(url, headers={"host": "evil.example"}).status_code
        assert not demo.analytics_enabled
        chat = Chat(context.new_page())
        chat.page.goto(url, timeout=TIMEOUT_MS)
        chat.has_models()
        chat.page.locator(".llmstream-box textarea").fill("Write <a> & $5.")
        chat.page.locator(".llmstream-box textarea").press("Enter")
        chat.shows("It is Vec<String>, $5 and $10.")
        chat.shows("Write <a> & $5.")
        room = chat.page.locator(".llmstream-chat").bounding_box()
        assert room is not None
        assert 400 <= room["height"]
