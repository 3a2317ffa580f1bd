"""The `ollama` command against `/ollama`."""

from __future__ import annotations

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.npm import EXACT, NOBODY
from tests.support.ollama_dialect import echo, ollama_run, said
from tests.support.serving import Serve, Served


def test_ollama_run_of_a_chain(serve: Serve, settings: Settings) -> None:
    """`ollama run chain "…"` prints the chain's answer, and so does a question through a pipe."""
    served = serve(create_app(settings, chain=echo))
    for arguments, typed in ((["chain", "Why?"], ""), (["chain"], "Why?")):
        code, out, errors = said(served, *arguments, typed=typed)
        assert (0, "You asked: Why?") == (code, out), errors


def test_ollama_run_tells_all(served: Served, upstream: DemoOllama) -> None:
    """The command prints the exact text, the thoughts apart, and the usage."""
    upstream.answers["Why?"] = EXACT
    code, out, errors = said(served, "demo", "--verbose", "Why?")
    assert (0, EXACT) == (code, out)
    assert "eval count:           19 token(s)" in errors
    _, out, _ = said(served, "demo:thinking", "--think", "Why?")
    assert f"Thinking...\nLet me think.\n...done thinking.\n\n{SENTENCE}" == out


@pytest.mark.parametrize(
    ("model", "expected"),
    [("nobody", "not pulled"), ("demo:error-line", "broke off"), ("demo:no-done", "broke off")],
)
def test_ollama_run_fails(served: Served, model: str, expected: str) -> None:
    """A model that isn't there and an answer that broke off end the command with an error, after what came."""
    code, out, errors = said(served, model, "Why?")
    assert (1, expected in errors) == (code, True), errors
    assert SENTENCE.startswith(out)
    assert bool(out) == (model != "nobody")


def test_ollama_run_without_an_ollama_behind(serve: Serve) -> None:
    """Where the server's own Ollama is down, the command says so."""
    code, _, errors = said(serve(create_app(Settings(ollama_url=NOBODY, model="demo", demo="never"))), "demo", "Why?")
    assert (1, "Ollama is not running at" in errors) == (code, True), errors


def test_ollama_run_that_is_ended_frees_the_model(served: Served, upstream: DemoOllama) -> None:
    """Ending the command in mid-answer ends the answer."""
    with ollama_run(served, "demo:endless-100", "Why?") as run:
        assert run.stdin is not None
        assert run.stdout is not None
        run.stdin.close()  # it reads a pipe to the end before it asks
        assert b" 1" == run.stdout.read(2)
        run.terminate()
        assert upstream.wait_idle(timeout_s=2)
