"""OpenAI's package for Node, and the AI SDK by way of @ai-sdk/openai-compatible, against the real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from llmstream.demo_ollama.scenarios import NEWLINES, SENTENCE
from llmstream.settings import Settings
from tests.support.npm import EXACT, Clients, client_program, real_answer

pytestmark = pytest.mark.timeout(360)  # the first test installs the packages

PROGRAMS = ("openai.mjs", "openai_compatible.mjs")


@pytest.fixture(scope="module")
def openai() -> Iterator[Clients]:
    """What OpenAI's own package made of every scenario."""
    with client_program("openai.mjs") as clients:
        yield clients


@pytest.fixture(scope="module", params=PROGRAMS)
def clients(request: pytest.FixtureRequest, openai: Clients) -> Iterator[Clients]:
    """What one of the packages made of every scenario."""
    if request.param == "openai.mjs":
        yield openai
    else:
        with client_program(request.param) as clients:
            yield clients


def counted(usage: dict[str, Any]) -> tuple[Any, Any]:
    """Tokens in and out, by whichever names."""
    return (
        usage.get("prompt_tokens", usage.get("inputTokens")),
        usage.get("completion_tokens", usage.get("outputTokens")),
    )


def test_text_is_exact(clients: Clients) -> None:
    """Emoji, newlines and separators come through to the letter, streamed and whole."""
    found = clients.found
    assert [EXACT, NEWLINES, EXACT] == [found[name]["text"] for name in ("exact", "newlines", "whole")]
    assert ["stop", "stop"] == [found[name]["reason"] for name in ("exact", "whole")]


def test_reasoning_is_apart(clients: Clients) -> None:
    """The thinking that was asked for is not part of the text."""
    found = clients.found["reasoning"]
    assert ("Let me think.", SENTENCE) == (found["reasoning"], found["text"])


def test_length_and_usage_are_told(clients: Clients) -> None:
    """An answer that met its limit says so, and how many tokens it took."""
    found = clients.found["length"]
    assert ("length", (11, 5)) == (found["reason"], counted(found["usage"]))


def test_tool_is_called_and_answered(clients: Clients) -> None:
    """The package's own loop calls the function and gets the answer made from its result."""
    found = clients.found["tool"]
    assert ([{"city": "Paris"}], SENTENCE) == (found["calls"], found["text"])


def test_leaving_frees_the_model(clients: Clients) -> None:
    """Breaking off an endless answer ends it upstream."""
    assert clients.found["stop"]["text"].startswith(" 1")
    assert clients.upstream.wait_idle()


@pytest.mark.parametrize(("scenario", "status"), [("early_error", 404), ("unreachable", 502)])
def test_early_error_has_its_status(clients: Clients, scenario: str, status: int) -> None:
    """A model that isn't there and an Ollama that is down are errors with a status and a sentence."""
    error = clients.found[scenario]["error"]
    expected = {"early_error": "The model 'nobody' is not there.", "unreachable": "Ollama is not running at"}
    assert status == error["status"]
    assert expected[scenario] in error["message"]


@pytest.mark.parametrize("scenario", ["late_error", "truncated"])
def test_broken_answer_is_an_error(clients: Clients, scenario: str) -> None:
    """An answer that broke off is never a short one that succeeded."""
    found = clients.found[scenario]
    assert found["text"]
    assert SENTENCE.startswith(found["text"])
    assert "broke off" in found["error"]["message"]
    assert found.get("reason") in (None, "error")


def test_errors_are_of_the_package(openai: Clients) -> None:
    """Each failure is raised as the package's own class for it, with our code."""
    found = {name: openai.found[name]["error"] for name in ("early_error", "refused", "unreachable", "late_error")}
    assert {
        "early_error": ("NotFoundError", "model_not_found"),
        "refused": ("BadRequestError", "invalid_request"),
        "unreachable": ("InternalServerError", "upstream_unreachable"),
        "late_error": ("APIError", "upstream_error"),
    } == {name: (error["name"], error["code"]) for name, error in found.items()}


def test_run_ends_when_the_client_leaves(openai: Clients) -> None:
    """The run behind an answer that nobody reads any more is cancelled."""
    assert "cancelled" == openai.found["stop"]["run"]


def test_models_are_listed(openai: Clients) -> None:
    """The list holds what Ollama has; one can be asked for, with and without its tag."""
    found = openai.found["models"]
    assert (["demo:latest", "demo-thinking:latest"], "demo") == (found["names"], found["one"])
    assert "stop" == openai.found["tagged"]["reason"]


def test_page_of_another_origin_may_ask(openai: Clients) -> None:
    """In a browser the package's own headers pass the preflight."""
    found = openai.found["preflight"]
    assert {"authorization", "content-type", "x-stainless-retry-count"} <= set(found["names"])
    assert (200, "OK") == (found["status"], found["text"])


@pytest.mark.parametrize("program", PROGRAMS)
def test_real_ollama(real_settings: Settings, program: str) -> None:
    """A real model's answer reaches the client as it reaches our own Python API."""
    found = real_answer(program, real_settings)
    assert (found["expected"], "stop") == (found["text"], found["reason"])
    assert all(counted(found["usage"]))
