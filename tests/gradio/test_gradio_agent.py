"""An agent on a real Ollama that asks a person, in the Gradio chat in a real Chromium."""

from __future__ import annotations

import asyncio
import gc
import re
import warnings
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from llmstream.gradio import create_chat
from llmstream.settings import Settings
from tests.support.real_agent import QUESTION, RESULTS, weather_agent

# Gradio makes an event loop wherever none runs, and leaves it to the garbage collector, which complains.
pytestmark = [pytest.mark.timeout(180), pytest.mark.filterwarnings("ignore::ResourceWarning")]

TIMEOUT_MS = 30_000


@pytest.fixture
def page(browser: Browser, real_settings: Settings) -> Iterator[Page]:
    """A chat with the agent."""
    chat = create_chat(weather_agent(real_settings.ollama_url), settings=real_settings)
    chat.launch(prevent_thread_lock=True, quiet=True)
    context = browser.new_context()
    page = context.new_page()
    page.goto(str(chat.local_url), timeout=TIMEOUT_MS)
    yield page
    context.close()
    chat.close(verbose=False)
    with warnings.catch_warnings(action="ignore"):
        asyncio.set_event_loop(None)
        gc.collect()


def log(page: Page) -> Locator:
    """The conversation."""
    return page.get_by_role("log")


def ask(page: Page, text: str) -> None:
    """Type into the message box, and press Enter."""
    box = page.locator(".llmstream-box textarea")
    box.fill(text)
    box.press("Enter")


def press(page: Page, name: str) -> None:
    """Press a button of the last message."""
    log(page).get_by_role("button", name=name, exact=True).last.click(timeout=TIMEOUT_MS)


@pytest.mark.parametrize("decision", ["approve", "edit", "reject", "reject by a click"])
def test_a_call_is_decided_on(page: Page, decision: str) -> None:
    """The buttons below the question decide; Edit puts the arguments into the box, and a text is why not."""
    ask(page, QUESTION)
    expect(log(page)).to_contain_text("Tool execution requires approval", timeout=TIMEOUT_MS)
    if decision == "edit":
        press(page, "Edit")
        box = page.locator(".llmstream-box textarea")
        expect(box).to_have_value('{"city": "Paris"}', timeout=TIMEOUT_MS)
        expect(box).to_be_focused()
        ask(page, '{"city": "Oslo"}')
    elif decision == "reject":
        ask(page, "18 degrees and rainy")
    else:
        press(page, "Approve" if decision == "approve" else "Reject")
    expect(page.locator(".llmstream-line").first).to_contain_text("tokens/s", timeout=TIMEOUT_MS)
    expect(log(page).get_by_role("button", name="Approve")).to_have_count(0)
    tool = log(page).get_by_role("button", name=re.compile("Tool: get_weather")).last
    tool.click()
    expect(log(page)).to_contain_text(RESULTS.get(decision, "User rejected the tool call"), timeout=TIMEOUT_MS)
