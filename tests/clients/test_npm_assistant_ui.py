"""assistant-ui's runtime and components for the AI SDK, drawn without a browser, against the real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmstream.demo_ollama.scenarios import NEWLINES, SENTENCE
from llmstream.settings import Settings
from tests.support.npm import EXACT, Clients, client_program, real_answer

pytestmark = pytest.mark.timeout(360)  # the first test installs the packages


@pytest.fixture(scope="module")
def pages() -> Iterator[Clients]:
    """What a page made of every scenario; a short grace, because its own stop is leaving."""
    with client_program("assistant_ui.mjs", grace_s=0.3) as clients:
        yield clients


def test_text_is_exact(pages: Clients) -> None:
    """Emoji, newlines and separators come through to the letter, onto the page too."""
    found = pages.found
    assert [EXACT, NEWLINES] == [found[name]["text"] for name in ("exact", "newlines")]
    assert ("complete", f"exact{EXACT}") == (found["exact"]["status"]["type"], found["exact"]["drawn"])


def test_reasoning_is_apart(pages: Clients) -> None:
    """The thinking that was asked for is not part of the text."""
    found = pages.found["reasoning"]
    assert ("Let me think.", SENTENCE) == (found["reasoning"], found["text"])


def test_length_and_usage_are_in_the_metadata(pages: Clients) -> None:
    """The message's metadata has the model, how the answer ended, the usage and the timings."""
    metadata = pages.found["length"]["metadata"]
    assert ("demo:length", "length", 5) == (metadata["model"], metadata["reason"], metadata["usage"]["output_tokens"])
    assert metadata["timings"]["total_s"] > 0


def test_tool_of_the_page(pages: Clients) -> None:
    """The model's call reaches the page, and its result goes back by itself for the answer."""
    found = pages.found["tool"]
    assert ([{"city": "Paris"}], SENTENCE) == (found["calls"], found["text"])


def test_stop_ends_the_run(pages: Clients) -> None:
    """The page's own stop keeps what came and, once the grace is over, frees the model."""
    found = pages.found["stop"]
    assert ("cancelled", "cancelled") == (found["status"]["reason"], found["run"])
    assert found["text"].startswith(" 1")
    assert pages.upstream.wait_idle()


def test_stop_by_another_is_told(pages: Clients) -> None:
    """A run that somebody else stopped says so in the message's metadata."""
    found = pages.found["stopped"]
    assert ("stop", "cancelled") == (found["metadata"]["cancelled"], found["run"])


def test_early_error_is_shown(pages: Clients) -> None:
    """A model that isn't there and an Ollama that is down are one sentence on the page."""
    missing, down = (pages.found[name] for name in ("early_error", "unreachable"))
    assert ["error", "error"] == [missing["status"]["reason"], down["status"]["reason"]]
    assert "xThe model 'nobody' is not there. Get it with `ollama pull nobody`." == missing["drawn"]
    assert down["drawn"].startswith("xOllama is not running at")


@pytest.mark.parametrize("scenario", ["late_error", "truncated"])
def test_broken_answer_is_an_error(pages: Clients, scenario: str) -> None:
    """An answer that broke off keeps what came and shows the error, never a short answer alone."""
    found = pages.found[scenario]
    assert "error" == found["status"]["reason"]
    assert found["text"]
    assert SENTENCE.startswith(found["text"])
    assert f"x{found['text']}{found['status']['error']['message']}" == found["drawn"]
    assert "broke off" in found["drawn"]


def test_coming_back(pages: Clients) -> None:
    """A reloaded page comes back to the same message and sees all of it."""
    first, again = (pages.found["resume"][name] for name in ("first", "again"))
    assert first["id"] == again["id"]
    assert first["text"].startswith(" 1")
    assert again["text"].startswith(first["text"])


def test_real_ollama(real_settings: Settings) -> None:
    """A real model's answer reaches the page as it reaches our own Python API."""
    found = real_answer("assistant_ui.mjs", real_settings)
    assert (found["expected"], "complete") == (found["text"], found["status"]["type"])
