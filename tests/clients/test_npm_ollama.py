"""Ollama's package for Node against the real server, which it takes for an Ollama."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmstream.demo_ollama.scenarios import NEWLINES, SENTENCE
from llmstream.settings import Settings
from tests.support.npm import EXACT, Clients, client_program, real_answer

pytestmark = pytest.mark.timeout(360)  # the first test installs the packages


@pytest.fixture(scope="module")
def ollama() -> Iterator[Clients]:
    """What the package made of every scenario."""
    with client_program("ollama.mjs") as clients:
        yield clients


def test_text_is_exact(ollama: Clients) -> None:
    """Emoji, newlines and separators come through to the letter, by chat and by generate."""
    found = ollama.found
    assert [EXACT, NEWLINES, EXACT] == [found[name]["text"] for name in ("exact", "newlines", "generate")]


def test_reasoning_is_apart(ollama: Clients) -> None:
    """The thinking that was asked for is not part of the text."""
    found = ollama.found["reasoning"]
    assert ("Let me think.", SENTENCE) == (found["thinking"], found["text"])


def test_length_and_usage_are_told(ollama: Clients) -> None:
    """An answer that met its limit says so, and how many tokens it took."""
    assert {"reason": "length", "tokens": 5, "prompt": 11} == ollama.found["length"]["end"]


def test_tool_is_called_and_answered(ollama: Clients) -> None:
    """The call comes to the client, and its result goes back for the answer."""
    found = ollama.found["tool"]
    assert [("get_weather", {"city": "Paris"})] == [(call["name"], call["arguments"]) for call in found["calls"]]
    assert SENTENCE == found["text"]


def test_abort_frees_the_model(ollama: Clients) -> None:
    """The package's abort ends an endless answer upstream."""
    assert "AbortError" == ollama.found["stop"]["name"]
    assert ollama.found["stop"]["text"].startswith(" 1")
    assert ollama.upstream.wait_idle()


def test_early_error_has_its_status(ollama: Clients) -> None:
    """A model that isn't there is told in Ollama's own words, an Ollama that is down in ours."""
    missing, down = (ollama.found[name]["error"] for name in ("early_error", "unreachable"))
    assert {"name": "ResponseError", "message": "model 'nobody' not found", "status": 404} == missing
    assert ("ResponseError", 502) == (down["name"], down["status"])
    assert "Ollama is not running at" in down["message"]


@pytest.mark.parametrize("scenario", ["late_error", "truncated"])
def test_broken_answer_is_an_error(ollama: Clients, scenario: str) -> None:
    """An answer that broke off is never a short one that succeeded."""
    found = ollama.found[scenario]
    assert found["text"]
    assert SENTENCE.startswith(found["text"])
    assert "broke off" in found["error"]["message"]
    assert "end" not in found


def test_models_are_listed(ollama: Clients) -> None:
    """The package lists the models and sees what one can do."""
    found = ollama.found["models"]
    assert (["demo:latest", "demo-thinking:latest"], ["completion", "thinking"]) == (
        found["names"],
        found["capabilities"],
    )


def test_real_ollama(real_settings: Settings) -> None:
    """A real model's answer reaches the client as it reaches our own Python API."""
    found = real_answer("ollama.mjs", real_settings)
    assert (found["expected"], "stop") == (found["text"], found["end"]["reason"])
    assert found["end"]["tokens"] > 0 < found["end"]["prompt"]
