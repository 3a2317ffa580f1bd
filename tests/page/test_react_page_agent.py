"""An agent on a real Ollama that asks a person, on the chat page in a real Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from playwright.sync_api import expect

from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.page import Pages
from tests.support.real_agent import QUESTION, RESULTS, weather_agent
from tests.support.serving import Served


@pytest.mark.parametrize("decision", ["Approve", "Edit", "Reject"])
def test_a_call_is_decided_on(
    pages: Pages, serve: Callable[[FastAPI], Served], real_settings: Settings, decision: str
) -> None:
    """The page names its thread, so that the agent goes on with it, and the conversation does after that."""
    agent = weather_agent(real_settings.ollama_url)
    chat = pages.open(serve(create_app(real_settings, chain=agent)).url)
    chat.ask(QUESTION).ends("An answer from you is needed.")
    form = chat.page.get_by_role("group", name="May get_weather be called?")
    form.get_by_label(decision).check()
    if decision == "Edit":
        form.get_by_role("textbox", name="Arguments of get_weather").fill('{"city": "Oslo"}')
    elif decision == "Reject":
        form.get_by_label("What the model is told").fill("18 degrees and rainy")
    chat.button("Continue").click()
    chat.shows("In Paris it is").ends()
    chat.answer.get_by_text("Tool: get_weather").click()
    expect(chat.answer).to_contain_text(re.compile(RESULTS[decision.lower()]))
    chat.ask("What is 2 plus 2?").shows("2 plus 2 is 4.").ends()
