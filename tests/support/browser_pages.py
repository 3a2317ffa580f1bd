"""Pages in a browser, and the server that they ask."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import FastAPI
from playwright.sync_api import Page, Request

from tests.support.browser import Recorder
from tests.support.serving import Served

EVENT_SOURCE, GET, POST, READER, NO_STREAM = WAYS = (
    "event-source", "fetch-event-source-get", "fetch-event-source-post", "fetch-reader", "no-stream",
)  # fmt: skip


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
