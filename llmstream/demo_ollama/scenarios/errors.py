"""Scenarios that end in an error of Ollama's own."""

from __future__ import annotations

from llmstream.demo_ollama.scenarios.scenario import Call, Head, Steps, error_line_of, refusal
from llmstream.ollama_server.lines import go_json


def error_first(call: Call) -> Steps:
    """Status 200 and an error as the only line."""
    yield error_line_of("something failed")


def error_line(call: Call) -> Steps:
    """Five tokens, then an error line."""
    yield from call.say()[:5]
    yield error_line_of("something failed")


def error_path(call: Call) -> Steps:
    """Five tokens, then an error line that holds a path and an address."""
    yield from call.say()[:5]
    yield error_line_of("open /home/ann/.ollama/models/blobs/sha256-5fab: permission denied (127.0.0.1:41237)")


def runner_killed(call: Call) -> Steps:
    """Ollama's error when its runner was killed, and a clean end."""
    yield from call.say()[:5]
    yield error_line_of("an error was encountered while running the model: unexpected EOF")


def error_500(call: Call) -> Steps:
    """Status 500 with an error that holds a path."""
    yield from refusal(500, "llama runner process has terminated: /usr/lib/ollama/runner: exit status 2")


def forbidden(call: Call) -> Steps:
    """Status 403."""
    yield from refusal(403, "this model requires a subscription")


def busy(call: Call) -> Steps:
    """Status 503 for the first N requests, an answer for the next; without N always 503."""
    if call.number <= call.argument:
        yield from refusal(503, "server busy, please try again.  maximum pending requests exceeded")
        return
    yield from call.whole()


def prompt_too_long(call: Call) -> Steps:
    """Status 400: the answer to a long prompt with `truncate: false`."""
    yield Head(400, "application/json")
    yield go_json({"error": "the input length exceeds the context length"})
