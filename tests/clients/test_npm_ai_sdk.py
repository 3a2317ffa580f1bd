"""The AI SDK's own Chat, the one behind useChat, against the real server: versions 5, 6 and 7."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmstream.demo_ollama.scenarios import NEWLINES, SENTENCE
from llmstream.settings import Settings
from tests.support.npm import EXACT, Clients, client_program, real_answer

pytestmark = pytest.mark.timeout(360)  # the first test installs the packages

PACKAGES = ("ai", "ai-6", "ai-5")


@pytest.fixture(scope="module", params=PACKAGES)
def chats(request: pytest.FixtureRequest) -> Iterator[Clients]:
    """What one version of the package made of every scenario."""
    with client_program("ai_sdk.mjs", request.param) as clients:
        yield clients


def test_text_is_exact(chats: Clients) -> None:
    """Emoji, newlines and separators come through to the letter."""
    assert [EXACT, NEWLINES] == [chats.found[name]["text"] for name in ("exact", "newlines")]
    assert {"reason": "stop", "abort": False, "error": False} == chats.found["exact"]["end"]


def test_reasoning_is_apart(chats: Clients) -> None:
    """The thinking is a part of its own, before the text."""
    found = chats.found["reasoning"]
    assert ("Let me think.", SENTENCE) == (found["reasoning"], found["text"])
    assert ["step-start", "reasoning", "text"] == found["types"]


def test_usage_is_in_the_metadata(chats: Clients) -> None:
    """The message's metadata has the model, the usage and the timings."""
    metadata = chats.found["length"]["metadata"]
    assert ("demo:length", 5) == (metadata["model"], metadata["usage"]["output_tokens"])
    assert metadata["timings"]["total_s"] > 0


def test_length_is_told(chats: Clients) -> None:
    """An answer that met its limit ends with the reason length."""
    assert "length" == chats.found["length"]["end"]["reason"]


def test_tool_of_the_page(chats: Clients) -> None:
    """The model's call reaches the page, and its result goes back by itself for the answer."""
    found = chats.found["tool"]
    assert [{"name": "get_weather", "input": {"city": "Paris"}}] == found["calls"]
    assert SENTENCE == found["text"]
    assert ["step-start", "tool-get_weather", "step-start", "text"] == found["types"]


def test_stop_ends_the_run(chats: Clients) -> None:
    """Stop keeps what came, and the model is free while the page is still there."""
    found = chats.found["stop"]
    assert (202, "ready", "cancelled") == (found["answered"], found["status"], found["run"])
    assert "stop" == found["metadata"]["cancelled"]
    assert found["text"].startswith(" 1")
    assert chats.upstream.wait_idle()


def test_early_error_is_shown(chats: Clients) -> None:
    """A model that isn't there and an Ollama that is down are one sentence in the hook's error."""
    missing, down = (chats.found[name] for name in ("early_error", "unreachable"))
    assert ["error", "error"] == [missing["status"], down["status"]]
    assert "The model 'nobody' is not there. Get it with `ollama pull nobody`." == missing["error"]["message"]
    assert down["error"]["message"].startswith("Ollama is not running at")


@pytest.mark.parametrize("scenario", ["late_error", "truncated"])
def test_broken_answer_is_an_error(chats: Clients, scenario: str) -> None:
    """An answer that broke off keeps what came and is an error, never a short answer."""
    found = chats.found[scenario]
    assert ("error", True) == (found["status"], found["end"]["error"])
    assert found["text"]
    assert SENTENCE.startswith(found["text"])
    assert "broke off" in found["error"]["message"]


def test_coming_back(chats: Clients) -> None:
    """Another page comes back to the same message and sees all of it; after the end there is nothing."""
    found = chats.found["resume"]
    first, again = found["first"], found["again"]
    assert first["id"] == again["id"]
    assert first["text"].startswith(" 1")
    assert again["text"].startswith(first["text"])
    assert 0 == found["after"]


@pytest.mark.parametrize("package", PACKAGES)
def test_real_ollama(real_settings: Settings, package: str) -> None:
    """A real model's answer reaches the page as it reaches our own Python API."""
    found = real_answer("ai_sdk.mjs", real_settings, package)
    assert (found["expected"], "ready", "stop") == (found["text"], found["status"], found["end"]["reason"])
