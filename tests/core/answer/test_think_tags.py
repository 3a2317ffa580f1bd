"""Thinking that a model writes into its text is told apart from its answer, however the text is cut."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llmstream
from llmstream.core.answer.think_tags import ThinkTags
from llmstream.demo_ollama import DemoOllama
from llmstream.events import Event, Failed, Finished, Reasoning, Terminal, Timings, Token, ToolCall, Usage
from tests.support.hard_texts import HARD_TEXTS, HardText

COMPLETE = Finished("stop", Usage(), Timings())
CUT = Finished("length", Usage(), Timings())
CASES = [
    # text, thinking, answer
    ("<think>I add.</think>Four.", "I add.", "Four."),
    ("\n <think>\n\nI add.\n</think>\n\nFour. </think> <think>", "I add.\n", "Four. </think> <think>"),
    ("<think></think>Four.", "", "Four."),
    ("<think>a < b </thin </think>Four.", "a < b </thin ", "Four."),
    ("<think>I add.</think>", "I add.", ""),
    ("Four. <think>no</think>", "", "Four. <think>no</think>"),
    ("<thinking>no</thinking>", "", "<thinking>no</thinking>"),
    ("  <th", "", "  <th"),
    ("", "", ""),
    (" \n ", "", " \n "),
]


def told_apart(pieces: Sequence[str], end: Terminal = COMPLETE) -> tuple[str, str]:
    """The thinking and the answer in a text that comes in these pieces."""
    tags = ThinkTags()
    events: list[Event] = [event for piece in pieces for event in tags.put([Token(piece)])] + tags.end(end)
    return joined(events, Reasoning), joined(events, Token)


def joined(events: Sequence[Event], kind: type[Reasoning | Token]) -> str:
    return "".join(event.text for event in events if isinstance(event, kind))


@given(case=st.sampled_from(CASES), data=st.data())
def test_however_it_is_cut(case: tuple[str, str, str], data: st.DataObject) -> None:
    """Wherever the pieces of a text end, its thinking and its answer are the same."""
    text, thinking, answer = case
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)) | {0, len(text)})
    assert (thinking, answer) == told_apart([text[a:b] for a, b in pairwise(cuts)])


@pytest.mark.parametrize(("text", "end"), [("<think>I go on", CUT), ("<think>I go on", Failed("x", "y", False))])
def test_thinking_that_was_cut(text: str, end: Terminal) -> None:
    """Thinking that breaks off, or is cut at its limit, is thinking, and there is no answer."""
    assert ("I go on", "") == told_apart(list(text), end)


def test_a_tag_that_is_never_closed_is_a_word() -> None:
    """The answer of a model that came to its end is never empty for a tag that it has only spoken of."""
    assert ("is a tag.", "<think>is a tag.") == told_apart(["<think>", "is a", " tag."])


def test_other_events_keep_their_place() -> None:
    """A tool that is called while the text may still begin with a tag is not held back."""
    call = ToolCall("1", "add", {})
    tags = ThinkTags()
    assert [call] == tags.put([Token("<thi"), call])
    assert [Token("<thi"), Token("rd>")] == tags.put([Token("rd>")])
    assert tags.done


@pytest.mark.parametrize("text", [text for text in HARD_TEXTS if text.thinking], ids=lambda text: text.name)
def test_every_reader_sees_it(demo_ollama: DemoOllama, text: HardText) -> None:
    """Whoever reads the answer of a model gets its thinking as thinking, and only the rest as its answer."""
    demo_ollama.answers["Why?"] = text.text
    events = list(llmstream.stream_events("Why?"))
    assert [] == text.missing(joined(events, Reasoning), text.thinking)
    assert [] == text.missing(joined(events, Token))
    assert joined(events, Token) == "".join(llmstream.stream("Why?"))
