"""From pieces to events: well-formed, bounded, counted, one terminal event."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llmstream.core.answer.emitter import Emitter
from llmstream.core.answer.text_events import MAX_TEXT
from llmstream.errors import ChainFailed, LimitExceeded, LlmstreamError
from llmstream.events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    Reasoning,
    Status,
    Token,
    ToolCall,
    Usage,
    is_terminal,
    to_dict,
    well_formed,
)
from llmstream.ollama.chunks import Chunk, ChunkMessage, LastChunk
from llmstream.settings import Settings
from tests.support.serving import answer, reasoning

any_text = st.text(alphabet=st.characters(exclude_categories=[]), max_size=40)
DONE = LastChunk(done=True, done_reason="stop", prompt_eval_count=3, eval_count=4, eval_duration=2 * 10**9)


def emitter(**settings: Any) -> tuple[Emitter, list[Event]]:
    """An emitter, and the list its events go to."""
    events: list[Event] = []
    return Emitter(events.extend, Settings(**settings)), events


def chunk(content: str = "", thinking: str = "", calls: list[dict[str, Any]] | None = None) -> Chunk:
    """A line of Ollama's."""
    return Chunk(message=ChunkMessage(content, thinking, calls))


def cut(text: str, places: list[int]) -> list[str]:
    """The text in pieces."""
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(edges)]


@given(any_text, st.lists(st.integers(0, 100), max_size=10), st.booleans())
def test_text_cut_anywhere(text: str, places: list[int], by_chunk: bool) -> None:
    """However a text is cut, between the halves of a pair too, the tokens joined are the well-formed text."""
    made, events = emitter()
    for piece in cut(text, places):
        if by_chunk:
            made.chunks([chunk(piece)])
        else:
            made.text(piece)
    made.finish("stop", Usage())

    assert well_formed(text) == answer(events)
    assert "" not in [event.text for event in events if isinstance(event, Token)]


@given(st.lists(st.tuples(st.booleans(), any_text), max_size=8))
def test_text_and_thinking_mixed(pieces: list[tuple[bool, str]]) -> None:
    """Answer and thoughts don't run into each other: half of a pair waits only for its own kind."""
    assume("<" not in "".join(text for thinks, text in pieces if not thinks))  # which may begin thinking in the text
    made, events = emitter()
    for thinks, text in pieces:
        made.chunks([chunk(thinking=text) if thinks else chunk(text)])
    made.finish("stop", Usage())
    runs: list[tuple[bool, str]] = []
    for thinks, text in pieces:
        if text:
            same = bool(runs) and runs[-1][0] == thinks
            runs.append((thinks, runs.pop()[1] + text if same else text))
    told = [(isinstance(event, Reasoning), event.text) for event in events if isinstance(event, Token | Reasoning)]

    for kind, joined in ((False, answer(events)), (True, reasoning(events))):
        assert "".join(well_formed(text) for thinks, text in runs if thinks == kind) == joined
    assert [thinks for thinks, _ in told] == sorted_like(told, runs)


def sorted_like(told: list[tuple[bool, str]], runs: list[tuple[bool, str]]) -> list[bool]:
    """The kinds in the order of the runs, each as often as its texts were told."""
    kinds: list[bool] = []
    texts = [text for _, text in told]
    for thinks, text in runs:
        left = well_formed(text)
        while left:
            left = left.removeprefix(texts[len(kinds)])
            kinds.append(thinks)
    return kinds


@pytest.mark.parametrize("unit", ["a", "\x00", "é", "日", "😀", '"', "\ud83d"])
def test_a_megabyte_is_split(unit: str) -> None:
    """A piece of any size becomes events of at most 16 kB of JSON, also where all of it must be escaped."""
    text = unit * (1_000_000 // len(unit.encode("utf-8", "surrogatepass")))
    made, events = emitter()
    made.chunks([chunk(text)])
    made.finish("stop", Usage())
    sizes = [len(json.dumps({**to_dict(event), "run": "0" * 32, "seq": 10**9})) for event in events]

    assert well_formed(text) == answer(events)
    assert max(sizes) <= 16_000
    assert len(events) < 1_000_000 / MAX_TEXT + 3


def test_chunks_that_come_together_go_together() -> None:
    """What the reader hands over together goes on in one list, in its order."""
    lists: list[list[Event]] = []
    made = Emitter(lists.append, Settings())
    call = {"id": "i", "function": {"name": "f", "arguments": {"a": 1}}}
    made.chunks([chunk(thinking="x"), chunk("a"), chunk("b"), chunk("", "", [call]), Chunk()])
    made.finish_ollama(DONE)

    assert [[Reasoning("x"), Token("a"), Token("b"), ToolCall("i", "f", {"a": 1})]] == lists[:-1]
    assert [Finished] == [type(event) for event in lists[-1]]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({}, ToolCall("", "", {})),
        ({"id": None, "function": None}, ToolCall("", "", {})),
        ({"function": {"name": "f", "arguments": None}}, ToolCall("", "f", {})),
        ({"function": {"name": "f", "arguments": "text"}}, ToolCall("", "f", {"value": "text"})),
        ({"function": {"name": "f", "arguments": {"a": float("nan")}}}, ToolCall("", "f", {"a": None})),
    ],
)
def test_tool_calls_of_any_form(call: dict[str, Any], expected: ToolCall) -> None:
    """A call that lacks something is told as far as it goes."""
    made, events = emitter()
    made.chunks([chunk("", "", [call])])

    assert [expected] == events


def test_no_empty_lists() -> None:
    """Where nothing was said, nothing is handed on."""
    lists: list[list[Event]] = []
    made = Emitter(lists.append, Settings())
    made.text("")
    made.reasoning("")
    made.chunks([chunk(), Chunk()])
    made.text("\ud83d")

    assert [] == lists


@pytest.mark.parametrize("limit", [{"max_run_events": 3}, {"max_run_bytes": 6}])
@pytest.mark.parametrize("by_chunk", [False, True])
def test_limits(limit: dict[str, int], by_chunk: bool) -> None:
    """The answer is over the limit with the event that crosses it, which is still told."""
    made, events = emitter(**limit)
    for _ in range(3):
        made.chunks([chunk("ab")]) if by_chunk else made.text("ab")
        made.check()
    made.chunks([chunk("ab")]) if by_chunk else made.text("ab")
    with pytest.raises(LimitExceeded):
        made.check()

    assert "ab" * 4 == answer(events)


def test_bytes_are_those_of_utf8() -> None:
    """The limit counts bytes, not characters; thoughts count too."""
    made, _ = emitter(max_run_bytes=7)
    made.text("日")
    made.reasoning("日")
    made.check()
    made.text("日")

    with pytest.raises(LimitExceeded):
        made.check()


ENDS: list[Any] = [
    lambda made: made.finish("stop", Usage()),
    lambda made: made.finish_ollama(DONE),
    lambda made: made.fail(ChainFailed("x")),
    lambda made: made.end(Cancelled("stop")),
]


@pytest.mark.parametrize("first", ENDS)
@pytest.mark.parametrize("second", [*ENDS, lambda made: made.text("late"), lambda made: made.status(Status("waiting"))])
def test_one_terminal_event(first: Any, second: Any) -> None:
    """The first end is the end; what comes after it is dropped."""
    made, events = emitter()
    made.text("a")
    first(made)
    count = len(events)
    second(made)

    assert [False, True] == [is_terminal(event) for event in events]
    assert count == len(events)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("tool_calls", "tool_calls"),
        ("content_filter", "content_filter"),
        ("anything", "other"),
        ("", "other"),
    ],
)
def test_reasons(reason: str, expected: str) -> None:
    """Each provider's word for the end is one of ours."""
    made, events = emitter()
    made.finish(reason, Usage())

    assert [expected] == [event.reason for event in events if isinstance(event, Finished)]


def test_reason_with_tools() -> None:
    """An answer that ends in a call ended for it; one that goes on after the tool's result did not."""
    ends = []
    for result, reason in ((False, "stop"), (True, "stop"), (False, "length")):
        made, events = emitter()
        made.tool_call("i", "f", {})
        if result:
            made.tool_result("i", "x")
        made.finish(reason, Usage())
        ends += [event.reason for event in events if isinstance(event, Finished)]

    assert ["tool_calls", "stop", "length"] == ends


def test_counts_of_ollama() -> None:
    """Counts and times come from Ollama's last line."""
    made, events = emitter()
    made.chunks([chunk("a")])
    made.status(Status("prompt_truncated"))
    made.finish_ollama(DONE)
    last = events[-1]

    assert isinstance(last, Finished)
    assert (Usage(3, 4), 2.0, True) == (last.usage, last.timings.tokens_per_s, last.prompt_truncated)


def test_held_half_is_told_before_the_end() -> None:
    """Half of a pair whose other half never came is U+FFFD, also where the answer fails."""
    made, events = emitter()
    made.text("a\ud83d")
    error: LlmstreamError = ChainFailed("x")
    made.fail(error)

    assert [Token("a"), Token("\ufffd"), Failed("chain_failed", "x", False)] == events
    assert error is made.error
