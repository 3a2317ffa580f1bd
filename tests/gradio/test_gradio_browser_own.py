"""The Gradio chat in a real Chromium: images, a place among other components, and a page that is loaded again."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import gradio
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from llmstream.demo_ollama import DemoOllama
from llmstream.gradio import Like, create_chat
from llmstream.gradio.style import SWITCH_THEME
from llmstream.ollama_server.backend import Model
from llmstream.settings import Settings
from tests.support.axe import too_pale
from tests.support.faultkit import eventually
from tests.support.gradio_browser import TIMEOUT_MS, Chat, launched

# Gradio makes an event loop wherever none runs, and leaves it to the garbage collector, which complains.
pytestmark = [pytest.mark.timeout(180), pytest.mark.filterwarnings("ignore::ResourceWarning")]

SEEING, STALLING = "demo-seeing:latest", "demo:stall-3"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a browser without a past."""
    with browser.new_context() as context:
        yield context.new_page()


@pytest.fixture
def settings(settings: Settings, upstream: DemoOllama) -> Settings:
    """Settings for a model that sees; others are blind."""
    upstream.models |= {SEEING: Model(SEEING, capabilities=("completion", "vision")), STALLING: Model(STALLING)}
    return settings.change(model=SEEING)


def picture() -> bytes:
    """The file of an image."""
    buffer = io.BytesIO()
    Image.new("RGB", (300, 200), "gold").save(buffer, format="PNG")
    return buffer.getvalue()


def sent(upstream: DemoOllama) -> list[tuple[str, int]]:
    """The text of each message that the model was sent last, and the number of its images."""
    last = [request.body["messages"] for request in upstream.requests if request.path == "/api/chat"][-1]
    return [(each["content"].strip(), len(each.get("images", ()))) for each in last]


def test_an_image_is_asked_about(page: Page, settings: Settings, upstream: DemoOllama) -> None:
    """With a model that sees, an image is attached, sent, edited and taken back with its question; else none is."""
    upstream.answers |= {"What is it?": "A sun.", "What else?": "A coin."}
    with launched(create_chat(settings=settings)) as url:
        chat = Chat(page)
        page.goto(url, timeout=TIMEOUT_MS)
        chat.has_models()
        attach = page.locator(".llmstream-box").get_by_role("button", name="Upload a file")
        with page.expect_file_chooser(timeout=TIMEOUT_MS) as chooser:
            attach.click(timeout=TIMEOUT_MS)
        chooser.value.set_files({"name": "sun.png", "mimeType": "image/png", "buffer": picture()})
        expect(page.locator(".llmstream-box .thumbnail-image")).to_be_visible(timeout=TIMEOUT_MS)
        chat.ask("What is it?")
        chat.shows("A sun.")
        chat.ends()
        assert [("What is it?", 1)] == sent(upstream)
        shown = page.locator(".llmstream-chat .user-row img")
        assert shown.evaluate("image => image.naturalWidth") == 300
        chat.press("Edit")
        page.get_by_role("log").get_by_role("textbox").fill("What else?")
        chat.press("Submit")
        chat.shows("A coin.")
        chat.ends()
        assert [("What else?", 1)] == sent(upstream)
        chat.press("Undo")
        expect(page.locator(".llmstream-box textarea")).to_have_value("What else?", timeout=TIMEOUT_MS)
        expect(page.locator(".llmstream-box .thumbnail-image")).to_be_visible(timeout=TIMEOUT_MS)
        chat.pick("demo:latest")
        expect(attach).to_have_count(0, timeout=TIMEOUT_MS)


def test_a_chat_beside_other_components(page: Page, settings: Settings, upstream: DemoOllama) -> None:
    """In a row it stands beside the rest, as high as was said, without a title; a thumb is told.

    Every word can be read in Gradio's own theme, light and dark.
    """
    likes: list[Like] = []
    with gradio.Blocks() as demo, gradio.Row():
        gradio.Textbox(label="Notes")
        create_chat(settings=settings, height=320, on_like=likes.append, description="Some words.")
    upstream.answers["Why?"] = "Because.\n\n```python\nx = 1  # a comment\n```"
    upstream.models["demo:error-line"] = Model("demo:error-line")
    with launched(demo) as url:
        chat = Chat(page)
        page.set_viewport_size({"width": 1280, "height": 800})
        page.goto(url, timeout=TIMEOUT_MS)
        chat.has_models()
        notes, room = page.get_by_label("Notes").bounding_box(), page.locator(".llmstream-chat").bounding_box()
        assert notes is not None
        assert room is not None
        assert (320, True) == (room["height"], room["x"] > notes["x"] + notes["width"])
        expect(page.get_by_role("heading", name="llmstream")).to_have_count(0)
        page.locator(".llmstream-box textarea").fill("Why?")
        page.locator(".llmstream-box textarea").press("Enter")
        chat.shows("Because.")
        chat.ends()
        page.get_by_role("log").get_by_role("button", name=re.compile("^like$", re.IGNORECASE)).click()
        assert eventually(lambda: bool(likes))
        for _ in ("light", "dark"):
            assert [] == too_pale(page, ".llmstream-title", ".llmstream-chat", ".llmstream-line")
            page.evaluate(SWITCH_THEME)
        chat.pick("demo:error-line")
        page.locator(".llmstream-box textarea").fill("And now?")
        page.locator(".llmstream-box textarea").press("Enter")
        chat.shows("The answer is not complete")
        chat.ends()
        assert [] == too_pale(page, ".llmstream-chat")
    assert (True, "Why?", upstream.answers["Why?"]) == (likes[0].liked, likes[0].question, likes[0].text)


def test_two_chats_on_a_page(page: Page, settings: Settings) -> None:
    """Each has its looks and its own conversation, and the cursor goes back to the box that was asked in."""
    with gradio.Blocks() as demo, gradio.Row():
        create_chat(lambda question: "One: " + question, settings=settings)
        create_chat(lambda question: "Two: " + question, settings=settings)
    with launched(demo) as url:
        page.goto(url, timeout=TIMEOUT_MS)
        logs, boxes = page.get_by_role("log"), page.locator(".llmstream-box textarea")
        boxes.nth(1).fill("Why?")
        boxes.nth(1).press("Enter")
        expect(logs.nth(1)).to_contain_text("Two: Why?", timeout=TIMEOUT_MS)
        expect(boxes.nth(1)).to_be_focused(timeout=TIMEOUT_MS)
        boxes.nth(0).fill("And now?")
        boxes.nth(0).press("Enter")
        expect(logs.nth(0)).to_contain_text("One: And now?", timeout=TIMEOUT_MS)
        expect(boxes.nth(0)).to_be_focused(timeout=TIMEOUT_MS)
        for log in logs.all():
            expect(log.locator(".message.bot")).to_have_css("padding-left", "0px")


def test_a_page_that_is_loaded_again(page: Page, settings: Settings, upstream: DemoOllama) -> None:
    """The conversation is there again, an answer goes on where it was, and can be stopped; cleared, it is gone.

    A thumb that was pressed is pressed all the time, and every answer has one row of them.
    """
    upstream.answers["Why?"] = "Because."
    likes: list[Like] = []
    chat_that_comes_back = create_chat(settings=settings.change(grace_s=60), save_history=True, on_like=likes.append)
    with launched(chat_that_comes_back) as url:
        chat = Chat(page)
        page.goto(url, timeout=TIMEOUT_MS)
        chat.has_models()
        chat.ask("Why?")
        chat.shows("Because.")
        chat.ends()
        liked = page.get_by_role("log").get_by_role("button", name="Liked", exact=True)
        thumbs = page.get_by_role("log").get_by_role("button", name=re.compile("dislike", re.IGNORECASE))
        chat.press("Like")
        expect(liked).to_have_count(1, timeout=TIMEOUT_MS)
        chat.pick(STALLING)
        chat.ask("And now?")
        chat.shows("1 2 3")
        expect(liked).to_have_count(1)
        page.reload()
        chat.shows("Because.")
        chat.shows("1 2 3")
        assert 2 == sum(request.path == "/api/chat" for request in upstream.requests)
        chat.stop()
        assert upstream.wait_idle()
        page.reload()
        chat.shows("Stopped")
        expect(liked).to_have_count(1, timeout=TIMEOUT_MS)
        expect(thumbs).to_have_count(2)
        chat.press("Retry")  # of the model that does not stall
        chat.shows("llmstream's demo")
        chat.ends()
        expect(liked).to_have_count(1)
        page.get_by_role("button", name="Clear").click()
        expect(page.locator(".llmstream-chat .bot-row")).to_have_count(0, timeout=TIMEOUT_MS)
        page.reload()
        chat.has_models()
        assert [] == chat.answers
