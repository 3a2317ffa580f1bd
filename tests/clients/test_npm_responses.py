"""OpenAI's Responses by its package for Node, and by the AI SDK's `openai(model)`, against the real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmstream.demo_ollama.scenarios import NEWLINES, SENTENCE
from llmstream.settings import Settings
from tests.support.npm import EXACT, Clients, client_program, real_answer

pytestmark = pytest.mark.timeout(360)  # the first test installs the packages

WAYS = ("", "sdk_")


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    """What the packages made of every scenario."""
    with client_program("responses.mjs") as made:
        yield made


@pytest.mark.parametrize("way", WAYS)
def test_text_is_exact(clients: Clients, way: str) -> None:
    """Emoji, newlines and separators come through to the letter."""
    found = clients.found
    assert [EXACT, NEWLINES] == [found[f"{way}{name}"]["text"] for name in ("exact", "newlines")]
    assert found[f"{way}exact"]["end"] in ("completed", "stop")


@pytest.mark.parametrize("way", WAYS)
def test_reasoning_is_apart(clients: Clients, way: str) -> None:
    """The thinking that was asked for is not part of the text."""
    found = clients.found[f"{way}reasoning"]
    assert ("Let me think.", SENTENCE) == (found["reasoning"], found["text"])


@pytest.mark.parametrize("way", WAYS)
def test_length_and_usage_are_told(clients: Clients, way: str) -> None:
    """An answer that met its limit says so, and how many tokens it took."""
    found = clients.found[f"{way}length"]
    usage = found["usage"]
    assert found["end"] in ("incomplete", "length")
    assert (11, 5) == (
        usage.get("input_tokens", usage.get("inputTokens")),
        usage.get("output_tokens", usage.get("outputTokens")),
    )


@pytest.mark.parametrize("way", WAYS)
def test_tool_is_called_and_answered(clients: Clients, way: str) -> None:
    """The call has its arguments, and the next answer is made from its result."""
    found = clients.found[f"{way}tool"]
    assert [{"city": "Paris"}] == found["calls"]
    assert found["text"].endswith(SENTENCE)


def test_left_and_followed_again(clients: Clients) -> None:
    """A response in the background goes on from the event that its client had last."""
    found = clients.found["resume"]
    assert (EXACT, EXACT) == (found["text"], found["whole"])
    assert [*range(len(found["numbers"]))] == found["numbers"]


def test_cancel_frees_the_model(clients: Clients) -> None:
    """A cancelled response ends upstream."""
    assert {"status": "cancelled", "run": "cancelled"} == clients.found["cancel"]
    assert clients.upstream.wait_idle()


def test_earlier_answer_by_its_name(clients: Clients) -> None:
    """The AI SDK refers to an answer instead of sending it, and the model gets it all the same."""
    found = clients.found["sdk_turns"]
    assert "item_reference" in [item.get("type") for item in found["sent"]]
    assert EXACT == found["text"]
    sent = [record.body["messages"] for record in clients.upstream.requests if record.path == "/api/chat"]
    assert ["exact", EXACT, "exact"] in [[message["content"] for message in messages] for messages in sent]


@pytest.mark.parametrize(
    ("scenario", "sentence"),
    [
        ("early_error", "The model 'nobody' is not there."),
        ("unreachable", "Ollama is not running at"),
        ("sdk_early_error", "The model 'nobody' is not there."),
        ("sdk_unreachable", "Ollama is not running at"),
        ("sdk_late_error", "broke off"),
        ("sdk_truncated", "broke off"),
    ],
)
def test_failure_is_an_error_of_the_package(clients: Clients, scenario: str, sentence: str) -> None:
    """An answer that broke off is never a short one that succeeded."""
    assert sentence in clients.found[scenario]["error"]["message"]


@pytest.mark.parametrize("scenario", ["late_error", "truncated"])
def test_failed_response_is_told(clients: Clients, scenario: str) -> None:
    """OpenAI's own package hands a failed response to its caller as such."""
    found = clients.found[scenario]
    assert "error" in found or "failed" == found["end"]


def test_real_ollama(real_settings: Settings) -> None:
    """A real model's answer reaches the client as it reaches our own Python API."""
    found = real_answer("responses.mjs", real_settings)
    assert (found["expected"], "completed") == (found["text"], found["end"])
