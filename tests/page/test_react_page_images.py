"""Images on the chat page in a real Chromium: chosen, pasted and dropped, removed again, and sent to the model."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from llmstream.demo_ollama import DemoOllama
from llmstream.ollama_server.backend import Model
from tests.support.page import Chat, Pages, Site, site

# A red pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
BRING = """([kind, data]) => {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], "pixel.png", { type: "image/png" }));
  const box = document.querySelector("textarea");
  const options = { bubbles: true, cancelable: true };
  box.dispatchEvent(kind === "paste"
    ? new ClipboardEvent("paste", { ...options, clipboardData: files })
    : new DragEvent("drop", { ...options, dataTransfer: files }));
}"""


@pytest.fixture
def upstream() -> Iterator[DemoOllama]:
    """A demo Ollama with a model that sees, and one that does not."""
    with DemoOllama(tokens_per_s=None) as server:
        server.models["page-eyes:latest"] = Model("page-eyes:latest", ("completion", "vision"))
        server.answers["What is it?"] = "A red pixel."
        yield server


@pytest.fixture
def seeing(upstream: DemoOllama) -> Iterator[Site]:
    """The app on it."""
    with site(upstream, model="page-eyes:latest") as served:
        yield served


def bring(chat: Chat, way: str) -> None:
    """Give the page one image."""
    if way == "button":
        chat.page.locator("input[type=file]").set_input_files(
            {"name": "pixel.png", "mimeType": "image/png", "buffer": base64.b64decode(PNG)}
        )
    else:
        chat.page.evaluate(BRING, [way, PNG])


def asked(upstream: DemoOllama) -> Any:
    """The last message that the model got."""
    return [request for request in upstream.requests if request.path == "/api/chat"][-1].body["messages"][-1]


@pytest.mark.parametrize("way", ["button", "paste", "drop"])
def test_an_image_reaches_the_model(pages: Pages, seeing: Site, upstream: DemoOllama, way: str) -> None:
    """It is shown before it is sent and with the question, and the model gets it beside the text."""
    chat = pages.open(seeing.url)
    bring(chat, way)
    expect(chat.page.get_by_role("list", name="Images to send").get_by_role("listitem")).to_have_count(1)
    chat.ask("What is it?").shows("A red pixel.").ends()
    expect(chat.page.get_by_role("list", name="Images to send")).to_have_count(0)
    expect(chat.log.get_by_role("img")).to_have_count(1)
    message = asked(upstream)
    assert "What is it?" == message["content"].strip()
    assert [PNG] == message["images"]  # a small one goes as it is


def test_an_image_that_is_removed_is_not_sent(pages: Pages, seeing: Site, upstream: DemoOllama) -> None:
    """Only the one that is left goes along."""
    chat = pages.open(seeing.url)
    bring(chat, "button")
    bring(chat, "paste")
    chat.button("Remove image 1").click()
    chat.ask("What is it?").shows("A red pixel.").ends()
    assert 1 == len(asked(upstream)["images"])


async def reads(question: str) -> AsyncGenerator[str]:
    """A chain that takes text."""
    yield f"You asked {question}"
    if question == "Break.":
        raise ValueError(question)


async def sees(messages: list[dict[str, Any]]) -> AsyncGenerator[str]:
    """A chain that takes messages, with what is in them."""
    yield f"You sent {[part['type'] for part in messages[-1]['content']]}"


def test_a_chain_of_ones_own_is_offered_what_it_takes(pages: Pages, upstream: DemoOllama) -> None:
    """Neither a model nor thinking can be chosen, images go only to a chain that takes them; no question is shown.

    An answer that breaks off can only be asked for again.
    """
    with site(upstream, chain=reads) as served:
        chat = pages.open(served.url)
        expect(chat.page.locator("input[type=file]")).to_have_count(0)
        bring(chat, "paste")
        chat.ask("Hi").shows("You asked Hi").ends()
        expect(chat.page.locator("form").get_by_role("combobox")).to_have_count(0)
        expect(chat.page.get_by_role("img")).to_have_count(0)
        chat.ask("Break.").shows("This answer is not complete.")
        expect(chat.button("Retry")).to_be_visible()
        expect(chat.button("Continue")).to_have_count(0)
        chat.button("New chat").click()
        expect(chat.page.get_by_role("heading", name="Ask, and watch")).to_be_visible()
        expect(chat.page.get_by_role("button", name=re.compile("llmstream|chain"))).to_have_count(0)
    with site(upstream, chain=sees) as served:
        chat = pages.open(served.url)
        bring(chat, "button")
        chat.ask("Look").shows(re.escape("You sent ['text', 'image_url']")).ends()


def test_a_model_that_is_blind_says_so(pages: Pages, upstream: DemoOllama) -> None:
    """Nothing is generated, and the page says which models see."""
    pages.expected = "422"  # Chromium writes a refusal into the console itself
    with site(upstream, model="demo:latest") as served:
        chat = pages.open(served.url)
        bring(chat, "button")
        chat.ask("What is it?")
        expect(chat.alert).to_contain_text("a model that sees")
    assert all(request.path != "/api/chat" for request in upstream.requests)
