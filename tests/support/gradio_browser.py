"""A chat page of Gradio's in a browser."""

from __future__ import annotations

import asyncio
import gc
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import gradio
from playwright.sync_api import Error, Page, Request, expect

TIMEOUT_MS = 30_000


@dataclass
class Chat:
    """A chat page somebody has open, and what it asked of the network."""

    page: Page
    asked: list[Request] = field(default_factory=list)

    def ask(self, question: str = "Why?") -> None:
        """Type into the page's first text box, and press Enter."""
        box = self.page.get_by_role("textbox").first
        box.fill(question)
        box.press("Enter")

    def pick(self, model: str) -> None:
        """Choose a model; the list closes when something else of the page changes meanwhile, and is opened again."""
        for _ in range(5):
            self.page.get_by_role("combobox", name="Model").click()
            with suppress(Error):
                return self.page.get_by_role("option", name=model, exact=True).click(timeout=3000)
            self.page.get_by_role("textbox").first.click()
        raise AssertionError(f"{model} could not be chosen")

    def has_models(self) -> None:
        """Waits until there are models to choose from."""
        models = self.page.get_by_role("combobox", name="Model")
        expect(models).to_have_value(re.compile(".+"), timeout=TIMEOUT_MS)

    def shows(self, text: str) -> None:
        """Waits for a text in the conversation."""
        expect(self.page.get_by_role("log")).to_contain_text(text, timeout=TIMEOUT_MS)

    def ends(self) -> None:
        """Waits for the end of an answer."""
        expect(self.page.locator(".llmstream-box .submit-button")).to_be_visible(timeout=TIMEOUT_MS)

    def stop(self) -> None:
        """Press Stop, and wait for the mark of a stopped answer."""
        self.page.locator(".llmstream-box .stop-button").click(timeout=TIMEOUT_MS)
        self.shows("Stopped")
        self.ends()

    def press(self, name: str) -> None:
        """Press a button of the last message that has it."""
        self.page.get_by_role("log").get_by_role("button", name=name, exact=True).last.click(timeout=TIMEOUT_MS)

    @property
    def answers(self) -> list[str]:
        """The texts of the answers."""
        found = self.page.locator(".llmstream-chat .bot-row .message-content").all_inner_texts()
        return [text.strip() for text in found if text.strip()]


@contextmanager
def launched(blocks: gradio.Blocks) -> Iterator[str]:
    """The address of a launched page."""
    blocks.launch(prevent_thread_lock=True, quiet=True)
    try:
        yield str(blocks.local_url)
    finally:
        blocks.close(verbose=False)
        with warnings.catch_warnings(action="ignore"):
            asyncio.set_event_loop(None)
            gc.collect()
