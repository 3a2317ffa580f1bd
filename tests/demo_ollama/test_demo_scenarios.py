"""The fault scenarios of the demo Ollama, byte by byte."""

from __future__ import annotations

import http.client
import json
from typing import Any

import ollama
import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import MEGABYTE, NEWLINES, SCENARIOS, SENTENCE, SEPARATORS
from tests.support.demo_calls import asked, chat, text


def test_scenarios_are_hidden_but_known(server: DemoOllama, client: ollama.Client) -> None:
    """Scenario models are not listed, can be looked at, and exist only where they were asked for."""
    assert ["demo:latest", "demo-thinking:latest"] == [model.model for model in client.list().models]
    assert all("completion" in (client.show(f"demo:{name}").capabilities or []) for name in SCENARIOS)
    assert [404, 404] == [chat(server, name)[0] for name in ("demo:nonsense", "demo:stop-2")]
    with DemoOllama(tokens_per_s=None) as plain:
        assert 404 == chat(plain, "demo:cut")[0]


@pytest.mark.parametrize("name", ["cut", "cut-line", "done-cut", "cut-once"])
def test_scenario_drops_the_connection(server: DemoOllama, name: str) -> None:
    """The connection closes without the last chunk, after the lines before it have arrived."""
    with asked(server, f"demo:{name}") as response, pytest.raises(http.client.IncompleteRead) as caught:
        response.read()
    lines = caught.value.partial.split(b"\n")

    assert "The" == json.loads(lines[0])["message"]["content"]
    assert (name == "cut-line") == bool(lines[-1])
    assert (name == "done-cut") == (b'"done":true' in caught.value.partial)
    assert server.wait_idle()
    assert server.requests[0].closed


def test_scenario_resets_the_connection(server: DemoOllama) -> None:
    """A reset is a reset, not an end."""
    with pytest.raises(ConnectionResetError), asked(server, "demo:reset") as response:
        response.read()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("no-done", (SENTENCE, None)),
        ("no-newline", (SENTENCE, "stop")),
        ("no-reason", (SENTENCE, None)),
        ("done-extra", (SENTENCE + " And more.", None)),
        ("done-content", ("All at once.", "stop")),
        ("length", ("The sky is blue because", "length")),
        ("prompt-cut", (SENTENCE, "stop")),
        ("empty", ("", "stop")),
        ("load-always", ("", "load")),
        ("unload-always", ("", "unload")),
        ("slow-0.01", (SENTENCE, "stop")),
        ("separators", (SEPARATORS, "stop")),
        ("lone-surrogate", ("a\ud83dz", "stop")),
        ("split-surrogate", ("a\ud83d\ude00z", "stop")),
        ("newlines", (NEWLINES, "stop")),
        ("megabyte", (MEGABYTE, "stop")),
        ("single-bytes", (SENTENCE + " 😀", "stop")),
        ("one-chunk", (SENTENCE, "stop")),
        ("tokens-500", ("".join(f" {n}" for n in range(1, 501)), "stop")),
        ("thinking", (SENTENCE, "stop")),
        ("thinking-only", ("", "stop")),
        ("tool-call", ("", "stop")),
        ("text-tool-call", ("I will check the weather in Paris.", "stop")),
    ],
)
def test_scenario_with_a_readable_answer(server: DemoOllama, name: str, expected: tuple[str, str | None]) -> None:
    """The text and the end of the answers whose lines are all JSON objects."""
    status, lines = chat(server, f"demo:{name}")

    assert (200, *expected) == (status, text(lines), lines[-1].get("done_reason"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("error-first", [200, "something failed"]),
        ("error-line", [200, "something failed"]),
        ("error-path", [200, "open /home/ann/.ollama/models/blobs/sha256-5fab: permission denied (127.0.0.1:41237)"]),
        ("runner-killed", [200, "an error was encountered while running the model: unexpected EOF"]),
        ("error-500", [500, "llama runner process has terminated: /usr/lib/ollama/runner: exit status 2"]),
        ("forbidden", [403, "this model requires a subscription"]),
        ("busy", [503, "server busy, please try again.  maximum pending requests exceeded"]),
        ("prompt-too-long", [400, "the input length exceeds the context length"]),
    ],
)
def test_scenario_of_an_error(server: DemoOllama, name: str, expected: list[Any]) -> None:
    """The status and the text of errors, before the first token and after it."""
    status, lines = chat(server, f"demo:{name}")

    assert expected == [status, lines[-1]["error"]]
    assert text(lines) == ("The sky is blue because" if name in ("error-line", "error-path", "runner-killed") else "")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("half-json", b'{"model":"demo:half-json","created_at":"2'),
        ("blank-line", b"\n"),
        ("null-line", b"null\n"),
        ("html-200", b"<!DOCTYPE"),
        ("html-502", b"<!DOCTYPE"),
        ("bad-utf8", b'"a\xffb\xf0\x9f\x98z"'),
    ],
)
def test_scenario_of_wrong_bytes(server: DemoOllama, name: str, wrong: bytes) -> None:
    """What is not Ollama's protocol is there, in a body that ends properly."""
    with asked(server, f"demo:{name}") as response:
        body = response.read()

    assert any(wrong in line if name == "bad-utf8" else line.startswith(wrong) for line in body.splitlines(True))


def test_scenario_without_message(server: DemoOllama) -> None:
    """One line has no message."""
    _, lines = chat(server, "demo:no-message")

    assert [["model", "created_at", "done"]] == [list(line) for line in lines if "message" not in line]
    assert SENTENCE == text(lines)


@pytest.mark.parametrize("name", ["busy-2", "load-once", "cut-once"])
def test_scenario_that_recovers(server: DemoOllama, name: str) -> None:
    """The first requests fail, the next one is answered; another server begins anew."""
    for _ in range(2 if name == "busy-2" else 1):
        with asked(server, f"demo:{name}") as response:
            assert response.status == (503 if name == "busy-2" else 200)
            assert b'"done_reason":"stop"' not in response.readline()
    status, lines = chat(server, f"demo:{name}")

    assert (200, SENTENCE) == (status, text(lines))


def test_scenario_stalls_after_its_tokens(server: DemoOllama) -> None:
    """The tokens come, and then nothing."""
    with asked(server, "demo:stall-3") as response:
        assert " 1 2 3" == text([json.loads(response.readline()) for _ in range(3)])
        assert 1 == server.active


def test_scenario_speaks_the_dialect_of_generate(client: ollama.Client) -> None:
    """On ``/api/generate`` the text stands in ``response``."""
    answer = client.generate("demo:tokens-3", "hi", stream=True)

    assert " 1 2 3" == "".join(str(chunk.response) for chunk in answer)


def test_tool_call_is_answered_after_its_result(client: ollama.Client) -> None:
    """With a result of the tool in the messages there is text instead of a call."""
    messages = [{"role": "user", "content": "hi"}, {"role": "tool", "content": "18 degrees"}]
    answer = client.chat("demo:tool-call", messages, stream=True)

    assert SENTENCE == "".join(str(chunk.message.content) for chunk in answer)


def test_prompt_cut_scenario_fills_the_context(server: DemoOllama, client: ollama.Client) -> None:
    """``prompt_eval_count`` is the length of the context that ``/api/ps`` names."""
    _, lines = chat(server, "demo:prompt-cut", options={"num_ctx": 256})

    assert 256 == lines[-1]["prompt_eval_count"] == client.ps().models[0].context_length
