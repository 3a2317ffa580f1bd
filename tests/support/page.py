"""What the tests of the chat page share: a Chromium, the page served by the app, and a person who uses it."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from playwright.sync_api import BrowserContext, Locator, Page, Request, Route, expect
from starlette.types import ASGIApp

import llmstream
from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.browser import Recorder, kept_profile, without_past
from tests.support.lacking import lacking
from tests.support.serving import Served, generations, serving

PAGE = Path(llmstream.__file__).parent / "page" / "index.html"
TIMEOUT_MS = 30_000
QUESTION = "Why is the sky blue?"
HALF = "times 9"
# What Chromium writes into the console itself when a connection is cut.
NETWORK = "net::ERR_|NetworkError"
# Long enough to be in the middle of, and with what a resume could lose: spaces, newlines, signs of several code points.
ANSWER = (
    "  The **sky** is blue — naïve café, 日本語, 👩\u200d👩\u200d👧 — because:\n\n"
    + "\n".join(f"{number}. air scatters *short* waves, times {number}" for number in range(1, 21))
    + "\n\n$$\n\\frac{a}{b} + \\sqrt{c}\n$$\n\n```python\nif sky:\n\n\treturn 'blue'  # : ping\n```\n\nThe end.\n"
)


@contextmanager
def chromium() -> Iterator[BrowserContext]:
    """The profile of a Chromium, where the page has been built."""
    if not PAGE.is_file():
        lacking("chat page", "run `make page`, which takes Node 20 or later")
    expect.set_options(timeout=TIMEOUT_MS)
    with kept_profile() as profile:
        yield profile


_SHOWS = """([selector, pattern, timeout]) => new Promise((resolve) => {
  const wanted = new RegExp(pattern, "s");
  const shown = () => [...document.querySelectorAll(selector)].at(-1)?.textContent ?? "nothing";
  const observer = new MutationObserver(() => wanted.test(shown()) && over(null));
  const over = (text) => { observer.disconnect(); clearTimeout(timer); resolve(text); };
  const timer = setTimeout(() => over(shown()), timeout);
  if (wanted.test(shown())) over(null);
  else observer.observe(document, { childList: true, characterData: true, subtree: true });
})"""


@dataclass
class Chat:
    """The page in one tab, and what went wrong in it."""

    page: Page
    problems: list[str] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(TIMEOUT_MS)
        self.page.on("request", lambda request: self.asked.append(request))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on(
            "console", lambda said: self.problems.append(said.text) if said.type in ("error", "warning") else None
        )

    @property
    def composer(self) -> Locator:
        """The page's first text box."""
        return self.page.get_by_role("textbox").first

    @property
    def log(self) -> Locator:
        """The conversation."""
        return self.page.get_by_role("log")

    @property
    def answer(self) -> Locator:
        """The last answer."""
        return self.page.get_by_role("article", name="Answer").last

    @property
    def status(self) -> Locator:
        """What a screen reader is told."""
        return self.page.get_by_role("status")

    @property
    def alert(self) -> Locator:
        """What went wrong, in words."""
        return self.page.get_by_role("alert")

    def button(self, name: str) -> Locator:
        """The last button of that name."""
        return self.page.get_by_role("button", name=name, exact=True).last

    def ask(self, question: str = QUESTION) -> Self:
        """Type, and press Enter."""
        self.composer.fill(question)
        self.composer.press("Enter")
        return self

    def pick(self, model: str) -> None:
        """Choose a model."""
        self.page.get_by_label("Model").select_option(model)

    def shows(self, pattern: str, within: str = ".answer") -> Self:
        """Waits for this in the last answer, or in the last element of its kind."""
        # Looked at with each change: `expect` looks only now and then.
        text = self.page.evaluate(_SHOWS, [within, pattern, TIMEOUT_MS])
        assert text is None, f"{pattern!r} was not shown: {text}"
        return self

    def ends(self, said: str = "The answer is complete.") -> Self:
        """Waits until this is said of the answer, and another question can be asked."""
        self.shows(f"^{re.escape(said)}$", "[role=status]")
        expect(self.page.get_by_role("button", name="Send")).to_be_visible()
        return self

    def copied(self, button: Locator | None = None) -> str:
        """What the button copies: by default the last answer, as the model wrote it."""
        found = button or self.button("Copy answer")
        found.click()
        expect(self.page.get_by_role("button", name="Copied")).to_be_visible()
        return str(self.page.evaluate("navigator.clipboard.readText()"))

    def paths(self, method: str = "GET") -> list[str]:
        """The paths that the page asked for, run ids left out."""
        found = [request.url.split("?")[0] for request in self.asked if request.method == method]
        return [re.sub("^http://[^/]*|[0-9a-f]{32}", "", url) for url in found]


class Pages:
    """Opens the page in browsers without a past; nothing in them may go wrong, and nothing may leave this machine."""

    def __init__(self, profile: BrowserContext, stack: ExitStack) -> None:
        self._profile = profile
        self._is_free = True
        self._stack = stack
        self._chats: list[Chat] = []
        self.foreign: list[str] = []
        self.expected = "(?!)"  # what may stand in a console, because the test cuts connections

    def context(self, **options: Any) -> BrowserContext:
        """A browser without a past."""
        if self._is_free and not options:
            self._is_free = False
            context = self._stack.enter_context(without_past(self._profile))
        else:
            assert self._profile.browser is not None
            context = self._stack.enter_context(self._profile.browser.new_context(**options))
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.route(re.compile(r"^(?!https?://(127\.0\.0\.1|localhost)[:/]|data:)"), self._refuse)
        context.on("page", self._note)
        self._stack.callback(context.remove_listener, "page", self._note)
        return context

    def open(self, url: str, context: BrowserContext | None = None, **options: Any) -> Chat:
        """The page in a browser of its own, or in one more tab."""
        page = (context or self.context(**options)).new_page()
        page.goto(url)
        return self.of(page)

    def of(self, page: Page) -> Chat:
        """What is known of a tab that may have opened by itself."""
        return next(chat for chat in self._chats if chat.page == page)

    def check(self) -> None:
        """Nothing went wrong."""
        problems = [text for chat in self._chats for text in chat.problems if not re.search(self.expected, text)]
        assert not problems, problems
        assert not self.foreign, self.foreign

    def _note(self, page: Page) -> None:
        self._chats.append(Chat(page))

    def _refuse(self, route: Route) -> None:
        self.foreign.append(route.request.url)
        route.abort()


@contextmanager
def opening(profile: BrowserContext) -> Iterator[Pages]:
    """Pages of one test, looked through at its end."""
    with ExitStack() as stack:
        pages = Pages(profile, stack)
        yield pages
        pages.check()


@dataclass
class Site:
    """The served app, and the requests that reached it."""

    served: Served
    recorder: Recorder

    @property
    def url(self) -> str:
        """Where the page is."""
        return self.served.url

    def count(self, method: str, ending: str) -> int:
        """How many requests there were for paths that end so."""
        return sum(each.method == method and each.path.endswith(ending) for each in self.recorder.seen)


@dataclass
class _Last:
    port: int = 0


_last = _Last()


@contextmanager
def site(upstream: DemoOllama | str, *, chain: object = None, **changes: object) -> Iterator[Site]:
    """The app on an Ollama, with its requests noted."""
    url = upstream if isinstance(upstream, str) else upstream.url
    app = create_app(Settings(ollama_url=url, demo="never", drain_s=0).change(**changes), chain=chain)
    recorders: list[Recorder] = []

    def record(inner: ASGIApp) -> Recorder:
        recorders.append(Recorder(inner))
        return recorders[0]

    app.add_middleware(record)
    # On the port of the site before, where it is free: what a browser has compiled belongs to an address.
    with serving(app, port=_last.port) as served:
        _last.port = int(served.url.rsplit(":", 1)[1])
        yield Site(served, recorders[0])


class Held:
    """An answer of the demo Ollama that stands still in its middle, behind `HALF`, until `go` is called."""

    def __init__(self) -> None:
        self.upstream = DemoOllama(tokens_per_s=None)
        self.upstream.answers[QUESTION] = ANSWER
        self.site: Site
        self._gone_on = threading.Event()
        self.go = self._gone_on.set

    async def _chain(self, question: str) -> AsyncGenerator[str]:
        said = ""
        model = StrictChatOllama(model="demo", base_url=self.upstream.url)
        async with aclosing(model.astream(question)) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                for word in re.findall(r"\s+|\S+", str(chunk.content)):  # tokens that are ready come together
                    if said.endswith(HALF):
                        await asyncio.to_thread(self._gone_on.wait)
                    said += word
                    yield word

    @contextmanager
    def serving(self) -> Iterator[Held]:
        """Serves the app on it."""
        with self.upstream, site(self.upstream, chain=self._chain) as self.site:
            yield self
            self.go()

    def is_shown_to(self, chat: Chat) -> None:
        """Waits until the page shows what there is."""
        chat.shows(rf"{HALF}\s*$")

    def is_whole(self, chat: Chat) -> None:
        """The answer has come to its end, to the letter, from one run and one generation."""
        chat.shows("The end.").ends()
        assert ANSWER == chat.copied()
        assert 1 == generations(self.upstream)
