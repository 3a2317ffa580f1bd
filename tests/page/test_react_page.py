"""The chat page in a real Chromium: a conversation, what a screen reader is told, every way to stop, how it draws."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from llmstream.demo_ollama import DemoOllama
from llmstream.ollama_server.backend import Model
from tests.support.page import ANSWER, QUESTION, Pages, Site, site
from tests.support.serving import generations

FIGURES = re.compile(r"^[\d.]+ m?s to first token · \d+ tokens? · [\d.,]+ tokens/s · demo:latest$")


@pytest.fixture
def paced() -> Iterator[DemoOllama]:
    """A demo Ollama whose tokens arrive one by one."""
    with DemoOllama(tokens_per_s=300, scenarios=True) as server:
        server.answers[QUESTION] = ANSWER
        yield server


@pytest.fixture
def chat_site(paced: DemoOllama) -> Iterator[Site]:
    """The app on it."""
    with site(paced, model="demo:latest") as served:
        yield served


def sent(upstream: DemoOllama) -> list[tuple[str, str]]:
    """The last conversation that the model was given."""
    request = [request for request in upstream.requests if request.path == "/api/chat"][-1]
    return [(message["role"], message["content"]) for message in request.body["messages"]]


def test_a_conversation(pages: Pages, chat_site: Site, paced: DemoOllama) -> None:
    """Typing goes into the first text box, Enter sends, the second question brings what was said before."""
    paced.answers["And\nwhy?"] = "Because."
    chat = pages.open(chat_site.url)
    expect(chat.composer).to_be_focused()
    expect(chat.button("Send")).to_be_disabled()
    chat.page.keyboard.type(QUESTION)
    chat.page.keyboard.press("Enter")
    expect(chat.composer).to_have_value("")
    chat.shows("air scatters short waves, times 3")
    assert paced.active == 1
    chat.shows("The end.").ends()
    expect(chat.answer.locator(".stats")).to_be_in_viewport()
    expect(chat.answer.locator(".stats")).to_have_text(FIGURES)
    assert ANSWER == chat.copied()
    chat.composer.focus()
    for key in ("A", "n", "d", "Shift+Enter", "w", "h", "y", "?", "Enter"):
        chat.page.keyboard.press(key)
    chat.shows("Because.").ends()
    assert [("user", QUESTION), ("assistant", ANSWER), ("user", "And\nwhy?")] == sent(paced)
    assert (2, 2) == (generations(paced), chat_site.count("POST", "/runs"))


def test_copy_edit_retry_and_a_new_chat(pages: Pages, chat_site: Site, paced: DemoOllama) -> None:
    """Code is copied as it was written; an edited question replaces what followed; retry asks the same again."""
    paced.answers["Why not?"] = "Because not."
    chat = pages.open(chat_site.url)
    chat.ask().ends()
    assert "if sky:\n\n\treturn 'blue'  # : ping" == chat.copied(chat.button("Copy"))
    chat.button("Edit").click()
    expect(chat.composer).to_have_value(QUESTION)
    chat.ask("Why not?").shows("Because not.").ends()
    expect(chat.page.get_by_role("article")).to_have_count(2)
    chat.button("Retry").click()
    chat.ends()
    assert [("user", "Why not?")] == sent(paced)
    assert 3 == generations(paced)
    chat.button("New chat").click()
    expect(chat.page.get_by_role("article")).to_have_count(0)
    expect(chat.composer).to_be_focused()


def test_the_model_and_its_thinking_are_picked(pages: Pages, chat_site: Site, paced: DemoOllama) -> None:
    """The chosen model answers, and what it thought is folded away."""
    chat = pages.open(chat_site.url)
    expect(chat.page.get_by_label("Model").locator("option:checked")).to_have_text("demo:latest")
    chat.pick("demo-thinking:latest")
    chat.page.get_by_label("Thinking").select_option("on")
    chat.ask().ends()
    thought = chat.answer.get_by_text("I look it up")
    expect(thought).to_be_hidden()
    chat.answer.get_by_text("Thoughts").click()
    expect(thought).to_be_visible()
    expect(chat.answer.locator(".stats")).to_contain_text("demo-thinking:latest")


def test_no_stream_is_left_open(pages: Pages, chat_site: Site, paced: DemoOllama) -> None:
    """More answers in a tab than a browser has connections to a server: each stream has ended with its answer."""
    chat = pages.open(chat_site.url)
    for number in range(7):
        paced.answers[f"{number}?"] = f"Answer {number}."
        chat.ask(f"{number}?").shows(rf"Answer {number}\..*to first token")
    seen = chat_site.recorder.seen
    assert (7, 7) == (chat_site.count("POST", "/runs"), chat_site.count("GET", "/events"))
    assert chat_site.recorder.wait(lambda ended: len(ended) == len(seen)), [each for each in seen if not each.ended]


def test_a_screen_reader_is_told_the_beginning_and_the_end(pages: Pages, chat_site: Site) -> None:
    """The conversation is a log that is not read out token by token; a status says when it begins and ends."""
    chat = pages.open(chat_site.url)
    expect(chat.log).to_have_attribute("aria-live", "off")
    chat.page.evaluate(
        """() => {
          const status = document.querySelector("[role=status]");
          window.said = [];
          new MutationObserver(() => window.said.push(status.textContent))
            .observe(status, { childList: true, characterData: true, subtree: true });
        }"""
    )
    chat.ask()
    expect(chat.answer).to_have_attribute("aria-busy", "true")
    chat.ends()
    expect(chat.answer).to_have_attribute("aria-busy", "false")
    assert ["The answer is being written.", "The answer is complete."] == chat.page.evaluate("window.said")
    expect(chat.composer).to_be_focused()


def test_stop_frees_the_model(pages: Pages, chat_site: Site, paced: DemoOllama) -> None:
    """The button and Esc end an answer before its first token and in its middle; what came is kept and marked."""
    kept = {"demo:silent": "^The answer was stopped", "demo:stall-3": "^1 2 3\\s*The answer was stopped"}
    for model in kept:
        paced.models[model] = Model(model)
    chat = pages.open(chat_site.url)
    for model, text in kept.items():
        chat.pick(model)
        for way in ("button", "Esc"):
            chat.ask()
            assert paced.wait_active(timeout_s=20)
            if model == "demo:stall-3":
                chat.shows("1 2 3")
            if way == "Esc":
                chat.page.keyboard.press("Escape")
            else:
                chat.button("Stop").click()
            chat.ends("The answer was stopped.").shows(text)
            assert paced.wait_idle()
            expect(chat.composer).to_be_focused()


def test_a_closed_tab_frees_the_model(pages: Pages, paced: DemoOllama) -> None:
    """When the last tab that shows an answer is gone, and stays away, the answer ends."""
    with site(paced, model="demo:stall-3", grace_s=0) as served:
        chat = pages.open(served.url).ask().shows("1 2 3")
        assert 1 == paced.active
        chat.page.close()
        assert paced.wait_idle()


def test_a_double_click_on_send_asks_once_and_stops_nothing(pages: Pages, chat_site: Site, paced: DemoOllama) -> None:
    """Stop takes the place of Send under the pointer of somebody who clicks twice."""
    chat = pages.open(chat_site.url)
    chat.composer.fill(QUESTION)
    chat.button("Send").dblclick()
    chat.shows("The end.").ends()
    assert 1 == generations(paced)


def test_the_page_stays_usable_at_200_tokens_a_second(pages: Pages, paced: DemoOllama) -> None:
    """It draws no more often than the browser does; meanwhile one types, scrolls up, jumps back to the end, stops."""
    with site(paced, model="demo:endless-200") as served:
        chat = pages.open(served.url, viewport={"width": 800, "height": 500})
        chat.page.evaluate(
            """() => {
              window.count = { frames: 0, draws: 0 };
              const onFrame = () => { window.count.frames += 1; requestAnimationFrame(onFrame); };
              requestAnimationFrame(onFrame);
              const isText = ({ target }) => (target.closest ? target : target.parentElement)?.closest(".markdown");
              new MutationObserver((found) => { window.count.draws += found.some(isText) ? 1 : 0; })
                .observe(document.querySelector("[role=log]"), { childList: true, characterData: true, subtree: true });
            }"""
        )
        chat.ask().shows(" 400 ")
        chat.page.keyboard.type("Meanwhile")
        expect(chat.composer).to_have_value("Meanwhile")
        chat.log.hover()
        chat.page.mouse.wheel(0, -200)
        chat.button("Jump to latest").click()
        expect(chat.button("Jump to latest")).to_have_count(0)
        assert paced.active == 1
        chat.button("Stop").click()
        chat.ends("The answer was stopped.")
        text = chat.copied()
        numbers = text.split()
        assert "".join(f" {number + 1}" for number in range(len(numbers))) == text
        count = chat.page.evaluate("() => window.count")
        assert 20 < count["draws"] <= count["frames"]
        assert count["draws"] < len(numbers)


def test_nothing_moves_when_tokens_arrive(pages: Pages, chat_site: Site) -> None:
    """What has been drawn stays where it is, from the question to the line under the answer."""
    chat = pages.open(chat_site.url)
    expect(chat.page.get_by_label("Model").locator("option:checked")).to_have_text("demo:latest")
    chat.page.evaluate(
        """() => {
          window.moved = 0;
          const add = (list) => { for (const { value } of list.getEntries()) window.moved += value; };
          new PerformanceObserver(add).observe({ type: "layout-shift" });
        }"""
    )
    chat.ask().ends()
    assert pytest.approx(0, abs=0.001) == chat.page.evaluate("window.moved")
