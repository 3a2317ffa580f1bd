"""Anthropic's package for Node against the real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmstream.demo_ollama.scenarios import NEWLINES, SENTENCE
from llmstream.settings import Settings
from tests.support.npm import EXACT, Clients, client_program, real_answer

pytestmark = pytest.mark.timeout(360)  # the first test installs the packages


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    """What the package made of every scenario."""
    with client_program("anthropic.mjs") as made:
        yield made


def test_text_is_exact(clients: Clients) -> None:
    """Emoji, newlines and separators come through to the letter, streamed and whole."""
    found = clients.found
    assert [EXACT, NEWLINES, EXACT] == [found[name]["text"] for name in ("exact", "newlines", "whole")]
    assert ["end_turn", "end_turn"] == [found[name]["reason"] for name in ("exact", "whole")]


def test_thinking_is_apart(clients: Clients) -> None:
    """The thinking that was asked for is not part of the text."""
    found = clients.found["reasoning"]
    assert ("Let me think.", SENTENCE) == (found["reasoning"], found["text"])


def test_length_and_usage_are_told(clients: Clients) -> None:
    """An answer that met its limit says so, and how many tokens it took."""
    found = clients.found["length"]
    assert ("max_tokens", 11, 5) == (found["reason"], found["usage"]["input_tokens"], found["usage"]["output_tokens"])


def test_tool_is_called_and_answered(clients: Clients) -> None:
    """The call has its arguments, and the next answer is made from its result."""
    found = clients.found["tool"]
    assert ([{"city": "Paris"}], SENTENCE) == (found["calls"], found["text"])


def test_leaving_frees_the_model(clients: Clients) -> None:
    """Breaking off an endless answer ends it upstream."""
    assert "cancelled" == clients.found["stop"]["run"]
    assert clients.upstream.wait_idle()


@pytest.mark.parametrize(
    ("scenario", "name", "sentence"),
    [
        ("early_error", "NotFoundError", "The model 'nobody' is not there."),
        ("unreachable", "InternalServerError", "Ollama is not running at"),
        ("late_error", "APIError", "broke off"),
        ("truncated", "APIError", "broke off"),
    ],
)
def test_failure_is_an_error_of_the_package(clients: Clients, scenario: str, name: str, sentence: str) -> None:
    """An answer that broke off is never a short one that succeeded."""
    error = clients.found[scenario]["error"]
    assert name == error["name"]
    assert sentence in error["message"]


def test_real_ollama(real_settings: Settings) -> None:
    """A real model's answer reaches the client as it reaches our own Python API."""
    found = real_answer("anthropic.mjs", real_settings)
    assert (found["expected"], "end_turn") == (found["text"], found["reason"])
