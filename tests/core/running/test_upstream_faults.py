"""Every fault of an Ollama, on every way to it: straight through the reader, and through LangChain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import llmstream
from llmstream import errors
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import MEGABYTE, NEWLINES, SENTENCE, SEPARATORS
from llmstream.events import Event, Failed, Finished, Token
from tests.support.answering import (
    WAYS,
    Outline,
    events_of,
    outline,
    own_chat_ollama,
    own_legacy_ollama,
)

Ask = Callable[[str], Any]
FIVE = ("token", "The sky is blue because")
WHOLE = ("token", SENTENCE)
STOP = ("finished", "stop")
TRUNCATED = ("failed", "upstream_truncated", True)
PROTOCOL = ("failed", "upstream_protocol", False)
ERROR = ("failed", "upstream_error", True)
EMPTY = ("failed", "upstream_empty", True)
PARIS = ("tool_call", "get_weather", {"city": "Paris"})
ROME = ("tool_call", "get_weather", {"city": "Rome"})

# What must come, and how many requests it may take.
FAULTS: dict[str, tuple[Outline, int]] = {
    "no-done": ([WHOLE, TRUNCATED], 1),
    "no-reason": ([WHOLE, TRUNCATED], 1),
    "cut": ([FIVE, TRUNCATED], 1),
    "cut-line": ([FIVE, TRUNCATED], 1),
    "cut-once": ([("token", "The"), TRUNCATED], 1),
    "reset": ([FIVE, TRUNCATED], 1),
    "half-json": ([FIVE, PROTOCOL], 1),
    "error-first": ([ERROR], 1),
    "error-line": ([FIVE, ERROR], 1),
    "error-path": ([FIVE, ERROR], 1),
    "runner-killed": ([FIVE, ERROR], 1),
    "error-500": ([ERROR], 1),
    "forbidden": ([ERROR], 1),
    "busy-1": ([WHOLE, STOP], 2),
    "prompt-too-long": ([("prompt_truncated",), ERROR], 2),
    "no-newline": ([WHOLE, STOP], 1),
    "done-hang": ([WHOLE, STOP], 1),
    "done-extra": ([WHOLE, STOP], 1),
    "done-cut": ([WHOLE, STOP], 1),
    "done-content": ([("token", "All at once."), STOP], 1),
    "length": ([FIVE, ("finished", "length")], 1),
    "load-once": ([WHOLE, STOP], 2),
    "load-always": ([EMPTY], 2),
    "unload-always": ([EMPTY], 2),
    "empty": ([STOP], 1),
    "thinking": ([("reasoning", "Let me think."), WHOLE, STOP], 1),
    "thinking-only": ([("reasoning", "Let me think."), STOP], 1),
    "tool-call": ([PARIS, ("finished", "tool_calls")], 1),
    "tool-calls-two": ([PARIS, ROME, ("finished", "tool_calls")], 1),
    "text-tool-call": ([("token", "I will check the weather in Paris."), PARIS, ("finished", "tool_calls")], 1),
    "silent": ([("failed", "upstream_timeout", True)], 1),
    "slow-0.1": ([WHOLE, STOP], 1),
    "stall-5": ([("token", " 1 2 3 4 5"), ("failed", "upstream_stalled", True)], 1),
    "html-200": ([PROTOCOL], 1),
    "html-502": ([PROTOCOL], 1),
    "blank-line": ([("token", "The sky is"), PROTOCOL], 1),
    "null-line": ([("token", "The sky is"), PROTOCOL], 1),
    "no-message": ([("token", "The sky is"), PROTOCOL], 1),
    "separators": ([("token", SEPARATORS), STOP], 1),
    "bad-utf8": ([("token", "a\ufffdb\ufffdz"), STOP], 1),
    "lone-surrogate": ([("token", "a\ufffdz"), STOP], 1),
    "split-surrogate": ([("token", "a😀z"), STOP], 1),
    "newlines": ([("token", NEWLINES), STOP], 1),
    "megabyte": ([("token", MEGABYTE), STOP], 1),
    "single-bytes": ([("token", SENTENCE + " 😀"), STOP], 1),
    "one-chunk": ([WHOLE, STOP], 1),
    "tokens-300": ([("token", "".join(f" {n}" for n in range(1, 301))), STOP], 1),
    "nonsense": ([("failed", "model_not_found", False)], 1),
}
# ChatOllama asks once, and reads on after the end: what it can't see or do, llmstream can't tell either.
CHAT_OLLAMA: dict[str, tuple[Outline, int]] = {
    **FAULTS,
    "busy-1": ([("failed", "upstream_busy", True)], 1),
    "prompt-too-long": ([ERROR], 1),
    "done-hang": ([WHOLE, ("failed", "upstream_stalled", True)], 1),
    "done-extra": ([("token", SENTENCE + " And more."), ERROR], 1),
    "done-cut": ([WHOLE, TRUNCATED], 1),
    "load-once": ([EMPTY], 1),
    "load-always": ([EMPTY], 1),
    "unload-always": ([EMPTY], 1),
    "null-line": ([("token", "The sky is"), ("failed", "chain_failed", False)], 1),
    "separators": ([PROTOCOL], 1),
    "newlines": ([("token", NEWLINES.partition("\x85")[0]), PROTOCOL], 1),
}
# The legacy class takes an error line for an empty piece of text, and knows neither thinking nor tools.
LEGACY: dict[str, tuple[Outline, int]] = {
    name: CHAT_OLLAMA[name]
    for name in (
        "no-done", "no-reason", "half-json", "error-500", "forbidden", "busy-1", "no-newline",
        "done-content", "length", "load-always", "unload-always", "empty", "silent", "slow-0.1", "stall-5", "html-200",
        "blank-line", "lone-surrogate", "split-surrogate", "single-bytes", "one-chunk", "tokens-300", "nonsense",
    )
} | {
    "error-first": ([TRUNCATED], 1),
    "error-line": ([FIVE, TRUNCATED], 1),
    "html-502": ([ERROR], 1),
    "prompt-too-long": ([ERROR], 1),
    "bad-utf8": ([PROTOCOL], 1),
    "separators": ([("token", SEPARATORS), STOP], 1),
    "newlines": ([("token", NEWLINES), STOP], 1),
    "tool-call": ([STOP], 1),
}  # fmt: skip
THINKING = {"reasoning": True}


@pytest.fixture
def quick(upstream: DemoOllama, monkeypatch: pytest.MonkeyPatch) -> DemoOllama:
    """The demo Ollama in the environment, with time limits that a test can wait for."""
    monkeypatch.setenv("OLLAMA_HOST", upstream.url)
    monkeypatch.setenv("LLMSTREAM_TOKEN_TIMEOUT_S", "0.3")
    monkeypatch.setenv("LLMSTREAM_FIRST_TOKEN_TIMEOUT_S", "0.8")
    return upstream


async def asked(upstream: DemoOllama, arguments: dict[str, Any]) -> tuple[list[Event], int]:
    """The events of an answer, and how many requests it took; nothing is left running."""
    events = await events_of(**arguments)
    assert await asyncio.to_thread(upstream.wait_idle, timeout_s=1)
    return events, sum(request.path in ("/api/chat", "/api/generate") for request in upstream.requests)


# One fault of each end: for the ways that differ from another one only in how LangChain was led to it.
SOME = (
    "one-chunk", "length", "thinking", "tool-call", "no-done", "cut", "half-json", "error-line", "load-always",
    "stall-5", "html-200", "prompt-too-long", "nonsense",
)  # fmt: skip
STRAIGHT_AND_AROUND = ("default", "parser")


@pytest.mark.parametrize(
    ("fault", "way"), [(fault, way) for fault in FAULTS for way in WAYS if way in STRAIGHT_AND_AROUND or fault in SOME]
)
async def test_same_events_either_way(quick: DemoOllama, fault: str, way: str) -> None:
    """What a fault makes of an answer, and of the number of requests, does not depend on the way to Ollama."""
    thinking = THINKING if "thinking" in fault else {}
    events, requests = await asked(quick, WAYS[way](f"demo:{fault}", **thinking))
    if fault == "nonsense" and way == "default":
        requests += 1  # it was refused when its capabilities were asked

    assert FAULTS[fault] == (outline(events), requests)


@pytest.mark.parametrize("fault", CHAT_OLLAMA)
async def test_chat_ollama(quick: DemoOllama, fault: str) -> None:
    """A person's own ChatOllama gets as much: truncation, stalls and errors are told, nothing is taken for complete."""
    thinking = THINKING if "thinking" in fault else {}
    chain = own_chat_ollama(f"demo:{fault}", base_url=quick.url, **thinking)

    assert CHAT_OLLAMA[fault] == _told(await asked(quick, {"chain": chain}))


@pytest.mark.parametrize("fault", LEGACY)
async def test_legacy_ollama(quick: DemoOllama, fault: str) -> None:
    """So does the legacy class of langchain_community."""
    chain = own_legacy_ollama(f"demo:{fault}", base_url=quick.url)

    assert LEGACY[fault] == _told(await asked(quick, {"chain": chain}))


def _told(answer: tuple[list[Event], int]) -> tuple[Outline, int]:
    return outline(answer[0]), answer[1]


@pytest.mark.parametrize("way", STRAIGHT_AND_AROUND)
@pytest.mark.parametrize("fault", SOME)
async def test_stream_raises_or_is_complete(quick: DemoOllama, fault: str, way: str) -> None:
    """The pieces of `astream` are the tokens of the events, and it ends without an error only where they finish."""
    thinking = THINKING if "thinking" in fault else {}
    pieces: list[str] = []
    code = None
    try:
        async for piece in llmstream.astream("hi", **WAYS[way](f"demo:{fault}", **thinking)):
            pieces += [piece]
    except llmstream.LlmstreamError as error:
        code = error.code
    rows, _ = FAULTS[fault]

    assert "".join(row[1] for row in rows if row[0] == "token") == "".join(pieces)
    assert (rows[-1][1] if rows[-1][0] == "failed" else None) == code


async def test_full_queue_is_asked_four_times(upstream: DemoOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that stays full is asked three times more, and then the person is told; the same on every way."""
    monkeypatch.setenv("OLLAMA_HOST", upstream.url)
    answers = await asyncio.gather(*(events_of(**arguments("demo:busy")) for arguments in WAYS.values()))

    assert [[("failed", "upstream_busy", True)]] * len(WAYS) == [outline(events) for events in answers]
    assert 4 * len(WAYS) == sum(request.path == "/api/chat" for request in upstream.requests)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("limit", "value"), [("MAX_RUN_BYTES", "5000"), ("MAX_RUN_EVENTS", "500"), ("MAX_RUN_S", "0.3")]
)
async def test_endless_answer_is_cut(
    quick: DemoOllama, monkeypatch: pytest.MonkeyPatch, way: str, limit: str, value: str
) -> None:
    """An answer without end is cut at the limit on bytes, events or time; what came is kept."""
    monkeypatch.setenv(f"LLMSTREAM_{limit}", value)
    events, requests = await asked(quick, WAYS[way]("demo:endless-1000" if limit == "MAX_RUN_S" else "demo:repeat"))
    kinds = {type(event) for event in events[1:-1]}

    assert (("failed", "limit_exceeded", False), 1) == (outline(events)[-1], requests)
    assert {Token} == kinds
    assert quick.requests[-1].closed


@pytest.mark.parametrize("way", WAYS)
async def test_server_down(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Where nothing listens, the person is told at once, and how to start it."""
    monkeypatch.setenv("LLMSTREAM_MODEL", "demo")
    events = await events_of(**WAYS[way]("demo"))

    assert [("failed", "upstream_unreachable", True)] == outline(events)
    assert isinstance(events[-1], Failed)
    assert "demo_ollama` for a demo in its place, or start it with `ollama serve`" in events[-1].message
    assert "http://127.0.0.1:9" in events[-1].message


@pytest.mark.parametrize("way", WAYS)
async def test_restart_between_runs(quick: DemoOllama, way: str) -> None:
    """After a restart of Ollama the same chain works, though its kept connection is dead."""
    arguments = WAYS[way]("demo:one-chunk")
    before = outline(await events_of(**arguments))
    await asyncio.to_thread(quick.close)
    down = outline(await events_of(**arguments))
    await asyncio.to_thread(quick.start)

    assert [WHOLE, STOP] == before == outline(await events_of(**arguments))
    assert [("failed", "upstream_unreachable", True)] == down


@pytest.mark.parametrize("way", WAYS)
async def test_killed_in_mid_answer(quick: DemoOllama, way: str) -> None:
    """An Ollama that is killed in mid-answer leaves what came, and an error."""
    events: list[Event] = []
    async for event in llmstream.astream_events("hi", **WAYS[way]("demo:stall-2")):
        events.append(event)
        if event == Token(" 2"):
            await asyncio.to_thread(quick.close)

    assert [("token", " 1 2"), TRUNCATED] == outline(events)


@pytest.mark.parametrize("way", STRAIGHT_AND_AROUND)
@pytest.mark.parametrize("fault", ["error-path", "error-500", "html-502", "html-200", "half-json", "runner-killed"])
async def test_messages_hold_nothing_of_the_machine(quick: DemoOllama, fault: str, way: str) -> None:
    """No path, address or HTML of the other side stands in what a person reads."""
    events, _ = await asked(quick, WAYS[way](f"demo:{fault}"))
    last = events[-1]

    assert isinstance(last, Failed)
    assert not [part for part in ("/home", "/usr", "127.0.0.1", "<", "sha256") if part in last.message]
    assert ("unexpected EOF" in last.message) == (fault == "runner-killed")


@pytest.mark.parametrize("way", WAYS)
async def test_counts_and_times(quick: DemoOllama, way: str) -> None:
    """The last event tells the model's own counts, and times that fit each other."""
    events, _ = await asked(quick, WAYS[way]("demo:tokens-50"))
    last = events[-1]

    assert isinstance(last, Finished)
    assert (11, 51) == (last.usage.input_tokens, last.usage.output_tokens)
    assert last.timings.time_to_first_token_s is not None
    assert last.timings.total_s is not None
    assert 0 < last.timings.time_to_first_token_s <= last.timings.total_s
    assert last.timings.load_s is not None
    assert last.timings.tokens_per_s is not None


def test_each_code_has_its_class() -> None:
    """The codes of this table are codes of errors, retryable where their class says so."""
    failures = {row for rows, _ in FAULTS.values() for row in rows if row[0] == "failed"}
    made = {("failed", code, errors.error_from_code(code, "").retryable) for _, code, _ in failures}

    assert failures == made
