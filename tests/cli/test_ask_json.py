"""Answers and errors of the command as JSON objects, for programs."""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

import pytest

from llmstream.demo_ollama import DemoOllama
from tests.support.called import Call, Done
from tests.support.command import TIMEOUT_S, piped


def as_json(done: Done) -> dict[str, Any]:
    """The one object that was printed, on one line."""
    assert 1 == done.stdout.count("\n")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_an_answer_as_json(upstream: DemoOllama, call: Call) -> None:
    """Text and thinking, exactly, the model, and the figures; no character steers a terminal."""
    upstream.answers["Q?"] = "a\x1b[31m\x9b b\n é"
    done = call("ask", "Q?", "--json", ollama=upstream.url)
    assert ("", 0, True) == (done.stderr, done.returncode, done.stdout.isascii())
    answer = as_json(done)
    assert "a\x1b[31m\x9b b\n é" == answer["text"]
    assert ("finished", "stop", "demo:latest", None) == tuple(
        answer[name] for name in ("state", "reason", "model", "error")
    )
    assert answer["usage"]["output_tokens"] > 0
    assert answer["timings"]["total_s"] > 0
    thoughts = as_json(call("ask", "Q?", "--json", "--model", "demo:thinking", "--thinking", ollama=upstream.url))
    assert thoughts["reasoning"]


@pytest.mark.parametrize(
    ("arguments", "text", "code", "exit_code"),
    [
        (["Q?", "--model", "demo:error-line"], "The sky is blue because", "upstream_error", 1),
        (["Q?", "--model", "demo-new"], "", "model_not_found", 1),
        (["Q?", "--image", "/no/such.png"], "", "invalid_request", 1),
        (["Q?", "--url", "nowhere"], "", "settings", 2),
        (["Q?", "--url", "http://127.0.0.1:9"], "", "upstream_unreachable", 1),
        ([" "], "", "invalid_request", 1),
    ],
)
def test_an_error_as_json(
    arguments: list[str], text: str, code: str, exit_code: int, upstream: DemoOllama, call: Call
) -> None:
    """What is wrong stands in the object, with what came before; stderr is empty, the exit code as ever."""
    done = call("ask", *arguments, "--json", ollama=upstream.url)
    answer = as_json(done)
    assert (exit_code, "", "failed") == (done.returncode, done.stderr, answer["state"])
    assert (text, code) == (answer["text"], answer["error"]["code"])
    assert answer["error"]["message"]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process on Windows: run it elsewhere")
def test_an_interrupted_answer_as_json(upstream: DemoOllama) -> None:
    """Ctrl-C keeps what came, and frees the model."""
    with piped("ask", "Q?", "--json", "--model", "demo:stall-3", ollama=upstream.url) as process:
        assert upstream.wait_active(timeout_s=TIMEOUT_S)  # a process is slow to start on a busy machine
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=TIMEOUT_S)
    assert (130, b"", "cancelled") == (process.returncode, errors, json.loads(out)["state"])
    assert upstream.wait_idle()
