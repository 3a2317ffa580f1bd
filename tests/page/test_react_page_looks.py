"""How the chat page looks in a real Chromium: accessibility, wide and narrow, light and dark."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from playwright.sync_api import expect

from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.answers import tokens
from llmstream.demo_ollama.scripted_answers import Pause
from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.models import Ollama
from llmstream.ollama_server.backend import Model
from tests.support.axe import check_by_axe, with_axe
from tests.support.page import ANSWER, QUESTION, Pages, site

RICH = """## A heading

Text with **weight**, [a link](https://example.com/), `code`, \\(e^{i\\pi}\\) and a footnote[^1].

| what | why |
| --- | --- |
| a table | to be seen |

$$
\\frac{1}{n} \\sum_{i=1}^{n} x_i
$$

```python
def sky() -> str:
    return "blue"  # a comment
```

- [x] done
- [ ] to do

> A quote.

[^1]: The note.
"""
_TABLE = f"| {'cell | ' * 20}\n|{' --- |' * 20}\n| {'long | ' * 20}"
WIDE = f"{'x' * 300}\n\n{_TABLE}\n\n```\n{'y' * 300}\n```\n\n$${'z + ' * 99}z$$"


async def rich(question: str) -> AsyncGenerator[object]:
    """A chain whose answer has every part there is."""
    yield [Document("What it says.", metadata={"title": "A page", "url": "https://example.com/"}), Document("More.")]
    yield AIMessageChunk(content="", additional_kwargs={"reasoning_content": "I think."})
    yield AIMessage(content="", tool_calls=[{"id": "1", "name": "search", "args": {"query": "sky"}}])
    yield ToolMessage(content="Found it.", tool_call_id="1")
    yield {"confidence": 0.5}
    for token in tokens(RICH):
        yield token


def test_accessibility_of_a_conversation(pages: Pages, upstream: DemoOllama) -> None:
    """An answer with everything it can hold: table, code, formulas, sources, thoughts, tools."""
    with site(upstream, chain=rich) as served:
        chat = with_axe(pages.open(served.url))
        chat.ask().ends()
        expect(chat.answer.locator("math")).to_have_count(2)
        expect(chat.answer.locator(".hljs-keyword").first).to_be_visible()
        for summary in chat.answer.locator("summary").all():
            summary.click()
        check_by_axe(chat, "finished")


def test_accessibility_of_the_rest(pages: Pages, upstream: DemoOllama) -> None:
    """The empty page, an answer that broke off, one that is waited for, the wire panel."""
    for name in ("demo:silent", "demo:cut"):
        upstream.models[name] = Model(name)
    upstream.answers["What is a run?"] = "One generation."
    with site(upstream, model="demo:latest") as served:
        chat = with_axe(pages.open(served.url))
        check_by_axe(chat, "empty")
        chat.pick("demo:cut")
        chat.ask().ends("The answer is not complete.")
        chat.pick("demo:silent")
        chat.ask().shows("Loading")
        check_by_axe(chat, "broken off, waiting")
        chat.button("Wire").click()
        chat.button("Ask all").click()
        expect(chat.page.get_by_role("button", name="Ask", exact=True)).to_have_count(5)
        check_by_axe(chat, "wire")


def test_a_wait_that_is_foretold_has_a_bar(pages: Pages, upstream: DemoOllama) -> None:
    """How long it will take, and how far it is; the same for who comes back to it, and gone when it is over."""
    upstream.answers["Read this."] = [Pause(0.2), "I have."]
    upstream.answers.default = [Pause(60), "Nobody waits for this."]
    model = StrictChatOllama(model="demo").through(Ollama(Endpoint(url=upstream.url, tell_after_s=0.05)))
    with site(upstream, chain=model) as served:
        chat = with_axe(pages.open(served.url))
        chat.ask("Read this.").ends()
        chat.ask("Read a long text. " * 200).shows("Reading the prompt, about [0-9,]+ tokens: about .* left.")
        bar = chat.answer.get_by_role("progressbar", name="The wait")
        expect(bar).to_be_visible()
        check_by_axe(chat, "foretold")
        chat.page.reload()
        chat.shows("Reading the prompt, about")
        expect(bar).to_be_visible()
        chat.page.keyboard.press("Escape")
        chat.shows("The answer was stopped.")
        expect(bar).to_have_count(0)


def test_everything_fits(pages: Pages, upstream: DemoOllama) -> None:
    """Long words, wide tables, code and formulas scroll in their own boxes; the composer stays in sight."""
    upstream.answers[QUESTION] = f"{WIDE}\n\n{ANSWER}"
    outside = """(log) => [...log.querySelectorAll("p, figure, section, .formula")]
      .filter((each) => each.getBoundingClientRect().right > innerWidth).map((each) => each.outerHTML)"""
    with site(upstream, model="demo:latest") as served:
        chat = pages.open(served.url).ask().shows("The end.").ends()
        for width in (1280, 390):
            chat.page.set_viewport_size({"width": width, "height": 700})
            assert [] == chat.log.evaluate(outside)
            expect(chat.composer).to_be_in_viewport()
            expect(chat.button("Send")).to_be_in_viewport()
            for view in ("Wire", "Chat"):
                chat.button(view).click()
                assert width >= chat.page.evaluate("document.documentElement.scrollWidth")


def test_light_and_dark(pages: Pages, upstream: DemoOllama) -> None:
    """The colors follow the system until others are chosen, which are remembered."""
    is_dark = "matchMedia('(prefers-color-scheme: dark)').matches"
    light, dark = "rgb(255, 255, 255)", "rgb(19, 21, 25)"
    color = "getComputedStyle(document.documentElement).backgroundColor"
    with site(upstream) as served:
        chat = pages.open(served.url, color_scheme="dark")
        assert (True, dark) == (chat.page.evaluate(is_dark), chat.page.evaluate(color))
        chat.page.get_by_label("Colors").select_option("light")
        assert light == chat.page.evaluate(color)
        chat.page.reload()
        expect(chat.page.get_by_label("Colors")).to_have_value("light")
        assert (True, light) == (chat.page.evaluate(is_dark), chat.page.evaluate(color))
