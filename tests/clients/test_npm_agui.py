"""The clients of AG-UI against the real server: @ag-ui/client's HttpAgent, CopilotKit's core, TanStack AI's client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import NEWLINES, SENTENCE
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.browser import CuttingProxy
from tests.support.npm import CLIENTS, EXACT, Clients, built, client_program, real_answer, run_program
from tests.support.serving import Served

pytestmark = pytest.mark.timeout(360)  # the first test installs the packages

PROGRAMS = (("agui.mjs",), ("agui.mjs", "copilotkit"), ("tanstack.mjs",))


def client_of(program: tuple[str, ...]) -> str:
    """What a client is called in a test's id."""
    return program[-1].removesuffix(".mjs")


@pytest.fixture(scope="module", params=PROGRAMS, ids=client_of)
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    """What one of the clients made of every scenario; a short grace, because they stop by leaving."""
    with client_program(*request.param, grace_s=0.3) as clients:
        yield clients


def counted(usage: Any) -> tuple[int, int, int]:
    """Tokens in, out and in all, by whichever names."""
    one = usage[0] if isinstance(usage, list) else usage
    read = one.get("inputTokens", one.get("promptTokens"))
    return read, one.get("outputTokens", one.get("completionTokens")), one["totalTokens"]


def test_text_is_exact(clients: Clients) -> None:
    """Emoji, newlines and separators come through to the letter."""
    found = clients.found
    assert [EXACT, NEWLINES] == [found[name]["text"] for name in ("exact", "newlines")]
    assert "success" == found["exact"]["outcome"]


def test_reasoning_is_apart(clients: Clients) -> None:
    """The thinking that was asked for is not part of the text."""
    found = clients.found["reasoning"]
    assert ("Let me think.", SENTENCE) == (found["reasoning"], found["text"])


def test_length_and_usage_are_told(clients: Clients) -> None:
    """An answer that met its limit says so, and how many tokens it took."""
    found = clients.found["length"]
    assert ("length", (11, 5, 16)) == (found["result"]["finishReason"], counted(found["usage"]))


def test_tool_of_the_page(clients: Clients) -> None:
    """The model's call comes to the page, and the answer is made from its result."""
    found = clients.found["tool"]
    assert ([{"city": "Paris"}], SENTENCE) == (found["calls"], found["text"])


def test_stop_ends_the_run(clients: Clients) -> None:
    """The client's own stop keeps what came and, once the grace is over, frees the model."""
    found = clients.found["stop"]
    assert "cancelled" == found["run"]
    assert found["text"].startswith(" 1")
    assert clients.upstream.wait_idle()


def test_stop_by_another_is_no_success(clients: Clients) -> None:
    """A run that somebody else stopped is told as cancelled; the package in CopilotKit takes that for an error."""
    found = clients.found["stopped"]
    assert "cancelled" == found["run"]
    assert found["text"].startswith(" 1")
    assert "cancelled" == found.get("outcome") or "outcome" in found["error"]["message"]


def test_early_error_has_its_status(clients: Clients) -> None:
    """A model that isn't there and an Ollama that is down are errors with the status in them."""
    missing, down = (clients.found[name]["error"]["message"] for name in ("early_error", "unreachable"))
    assert ("404" in missing, "502" in down) == (True, True), (missing, down)


@pytest.mark.parametrize(("scenario", "code"), [("late_error", "upstream_error"), ("truncated", "upstream_truncated")])
def test_broken_answer_is_an_error(clients: Clients, scenario: str, code: str) -> None:
    """An answer that broke off keeps what came and is an error with its code, never a short answer."""
    found = clients.found[scenario]
    assert code == found["error"]["code"]
    assert "broke off" in found["error"]["message"]
    assert found["text"]
    assert SENTENCE.startswith(found["text"])
    assert "outcome" not in found


def test_tanstack_goes_on_after_a_cut(upstream: DemoOllama, serve: Callable[[FastAPI], Served]) -> None:
    """Cut in mid-answer, TanStack AI's client comes back by its last id: the exact text, from one generation."""
    served = serve(create_app(Settings(ollama_url=upstream.url, demo="never")))
    with CuttingProxy(served.url, before="id: [0-9a-f]+-100\n") as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        found = run_program(built(CLIENTS) / "tanstack.mjs", url, "", "demo:tokens-200")["real"]
        assert proxy.has_cut
    assert ("".join(f" {n}" for n in range(1, 201)), "ready") == (found["text"], found["status"])
    assert 1 == sum(request.path == "/api/chat" for request in upstream.requests)


@pytest.mark.parametrize("program", PROGRAMS, ids=client_of)
def test_real_ollama(real_settings: Settings, program: tuple[str, ...]) -> None:
    """A real model's answer reaches the client as it reaches our own Python API."""
    found = real_answer(program[0], real_settings, *program[1:])
    assert (found["expected"], "success") == (found["text"], found["outcome"])
    assert all(counted(found["usage"]))
