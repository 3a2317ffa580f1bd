"""One list of what Ollama answers, held against recordings, a real Ollama that runs here, and the demo."""

from __future__ import annotations

from typing import Any

from tests.support.conformance_questions import JSON, LONG, TOOL
from tests.support.ollama_targets import COUNT, NDJSON, SKY, SKY_ANSWER, SUM, SUM_ANSWER, Case, Target, cases, chat

WEATHER_QUESTION = "What is the weather in Paris?"
COUNTS = ["total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"]
CHAT = ["model", "created_at", "message", "done"]
MESSAGE = ["role", "content"]
THOUGHT = ["role", "content", "thinking"]
CHAT_DONE = [*CHAT, "done_reason", *COUNTS]
GENERATE = ["model", "created_at", "response", "done"]
GENERATE_DONE = [*GENERATE, "done_reason", "context", *COUNTS]

ANSWERS = {
    "chat": chat(SKY, recording="chat", expect={"text": SKY_ANSWER, "keys": [CHAT, MESSAGE, CHAT_DONE]}),
    "plain": chat(SKY, model="{plain}", expect={"text": SKY_ANSWER, "keys": [CHAT, MESSAGE, CHAT_DONE]}),
    "unknown-option": chat(SKY, options={"zzz": 1}, expect={"text": SKY_ANSWER, "keys": [CHAT, MESSAGE, CHAT_DONE]}),
    "stop": chat(
        "Count to 20.", options={"stop": ["4"]}, expect={"text": "1, 2, 3, ", "keys": [CHAT, MESSAGE, CHAT_DONE]}
    ),
    "stop-over-tokens": chat(
        "Count to 20.", options={"stop": ["2, 3"]}, expect={"text": "1, ", "keys": [CHAT, MESSAGE, CHAT_DONE]}
    ),
    "no-limit": chat(
        "Count to 20.", options={"num_predict": -1}, expect={"text": COUNT, "keys": [CHAT, MESSAGE, CHAT_DONE]}
    ),
    "length": chat(
        "Count to 20.",
        recording="chat-length",
        options={"num_predict": 5},
        expect={"reason": "length", "eval_count": 5, "keys": [CHAT, MESSAGE, CHAT_DONE]},
    ),
    "thinking": chat(
        SUM,
        recording="thinking",
        think=True,
        expect={"text": SUM_ANSWER, "thinks": True, "keys": [CHAT, THOUGHT, CHAT_DONE]},
    ),
    "thinking-unset": chat(
        SUM,
        recording="thinking-unset",
        think=...,
        expect={"text": SUM_ANSWER, "thinks": True, "keys": [CHAT, THOUGHT, CHAT_DONE]},
    ),
    "thinking-level": chat(
        SUM, think="high", expect={"text": SUM_ANSWER, "thinks": True, "keys": [CHAT, THOUGHT, CHAT_DONE]}
    ),
    "tool-call": chat(
        WEATHER_QUESTION,
        recording="tool-call",
        model="{tool}",
        tools=[TOOL],
        expect={"text": "", "keys": [CHAT, [*MESSAGE, "tool_calls"], CHAT_DONE]},
    ),
    "prompt-cut": Case(
        {
            "model": "{chat}",
            "messages": LONG,
            "think": False,
            "options": {"num_predict": 2, "num_ctx": 256, "temperature": 0},
        },
        recording="prompt-cut",
        expect={"reason": "length", "prompt_eval_count": 256, "keys": [CHAT, MESSAGE, CHAT_DONE]},
    ),
    "generate": Case(
        {"model": "{chat}", "prompt": SKY, "think": False, "options": {"temperature": 0}},
        path="/api/generate",
        recording="generate",
        expect={"text": SKY_ANSWER, "keys": [GENERATE, None, GENERATE_DONE]},
    ),
    "generate-raw": Case(
        {
            "model": "{chat}",
            "prompt": SKY,
            "think": False,
            "raw": True,
            "options": {"temperature": 0, "num_predict": 2},
        },
        path="/api/generate",
        expect={"reason": "length", "eval_count": 2, "keys": [GENERATE, None, [*GENERATE, "done_reason", *COUNTS]]},
    ),
}

BODIES = {
    "chat": chat(
        SKY, recording="chat-not-streamed", stream=False, expect={"text": SKY_ANSWER, "keys": [CHAT_DONE, MESSAGE]}
    ),
    "thinking": chat(
        SUM,
        recording="thinking-not-streamed",
        think=True,
        stream=False,
        expect={"text": SUM_ANSWER, "thinks": True, "keys": [CHAT_DONE, THOUGHT]},
    ),
    "generate": Case(
        {"model": "{chat}", "prompt": SUM, "stream": False, "options": {"temperature": 0}},
        path="/api/generate",
        expect={
            "text": SUM_ANSWER,
            "thinks": True,
            "keys": [
                [*GENERATE[:3], "thinking", "done", "done_reason", "context", *COUNTS],
                None,
            ],
        },
    ),
}

EMPTY = {
    "load": Case({"model": "{chat}", "messages": []}, recording="load", expect={"reason": "load"}),
    "unload": Case(
        {"model": "{chat}", "messages": [], "keep_alive": 0}, recording="unload", expect={"reason": "unload"}
    ),
    "null-messages": Case({"model": "{chat}", "messages": None}, expect={"reason": "load"}),
    "generate-load": Case({"model": "{chat}"}, path="/api/generate", expect={"reason": "load"}),
    "generate-unload": Case({"model": "{chat}", "keep_alive": "0"}, path="/api/generate", expect={"reason": "unload"}),
}


def text_of(lines: list[dict[str, Any]], key: str) -> str:
    """The joined text of the lines, ``content`` or ``thinking``."""
    other = {"content": "response"}.get(key, key)
    return "".join(line["message"].get(key, "") if "message" in line else line.get(other, "") for line in lines)


def check_done(line: dict[str, Any], expect: dict[str, Any]) -> None:
    """The last line: how it ended, and counts and durations that are there and positive."""
    assert expect.get("reason", "stop") == line["done_reason"]
    assert all(isinstance(line[name], int) and line[name] > 0 for name in COUNTS)
    for name in ("eval_count", "prompt_eval_count"):
        assert expect.get(name, line[name]) == line[name]


@cases(ANSWERS)
def test_streamed_answer(target: Target, case: Case) -> None:
    """An answer is chunked NDJSON: lines of the same keys, and one last line with the end, the counts and no text."""
    answer = target.ask(case)
    keys, message_keys, done_keys = case.expect["keys"]
    *lines, last = answer.lines

    assert (200, NDJSON, True) == (answer.status, answer.content_type, answer.chunked)
    assert answer.body.endswith(b"}\n")
    assert keys == list(lines[0])
    assert message_keys == (list(lines[0]["message"]) if "message" in lines[0] else None)
    assert done_keys == list(last)
    assert [False] * len(lines) + [True] == [line["done"] for line in (*lines, last)]
    assert "" == text_of([last], "content")
    check_done(last, case.expect)
    assert case.expect.get("text", text_of(lines, "content")) == text_of(lines, "content")
    assert case.expect.get("thinks", False) == bool(text_of(lines, "thinking"))


@cases(BODIES)
def test_whole_answer(target: Target, case: Case) -> None:
    """With ``stream: false`` one JSON body with its length has everything."""
    answer = target.ask(case)
    [body] = answer.lines
    keys, message_keys = case.expect["keys"]

    assert (200, JSON, False) == (answer.status, answer.content_type, answer.chunked)
    assert keys == list(body)
    assert message_keys == (list(body["message"]) if "message" in body else None)
    check_done(body, case.expect)
    assert case.expect["text"] == text_of([body], "content")
    assert case.expect.get("thinks", False) == bool(text_of([body], "thinking"))


@cases(EMPTY)
def test_load_and_unload(target: Target, case: Case) -> None:
    """A request without a question loads or unloads the model, and is answered by one JSON body."""
    answer = target.ask(case)
    [body] = answer.lines

    assert (200, JSON, False) == (answer.status, answer.content_type, answer.chunked)
    assert not answer.body.endswith(b"\n")
    assert [*(CHAT if case.path == "/api/chat" else GENERATE), "done_reason"] == list(body)
    assert case.expect["reason"] == body["done_reason"]
    assert "" == text_of([body], "content")
