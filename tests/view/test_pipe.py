"""What reaches a pipe of an answer, and what no stranger's text can do to a terminal."""

from __future__ import annotations

import io

import pytest

from llmstream.events import Reasoning, Status, Token, ToolCall
from llmstream.view.safe import one_line, safe_text
from llmstream.view.terminal import PlainView
from tests.support.terminal import MARKDOWN, in_pieces


def test_control_characters_are_removed() -> None:
    """Escape sequences lose what makes them work; tab, newline and all printable text stay."""
    text = "a\tb\nc\r\x00\x07\x08\x0b\x1b[31mé漢👨‍👩‍👧\x7f\x80\x9b2J\x9d8;;\x85\u202aא\u202e\u2066\u2069\u200f\ufeff"
    expected = "a\tb\nc[31mé漢👨‍👩‍👧2J8;;א\u200f\ufeff"
    assert expected == safe_text(text)


def test_one_line_folds_newlines() -> None:
    """A message of several lines can't forge a second one."""
    assert "one two three [2J" == one_line("one\ntwo\u2028three\t\x1b[2J\r\n")


@pytest.mark.parametrize("escape", ["\x1b[31m", "\x1b]52;c;aGk=\x07", "\x1b]8;;http://evil\x1b\\", "\x9b2J", "\u202e"])
def test_sequences_split_over_pieces_do_not_get_through(escape: str) -> None:
    """However a sequence is cut into tokens, the same harmless text comes out."""
    for size in (1, 2, 100):
        stream = io.StringIO()
        with PlainView(stream) as view:
            for event in in_pieces(f"a{escape}b", size):
                view.show(event)
        assert f"a{safe_text(escape)}b\n" == stream.getvalue()


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_plain_view_writes_the_answer_and_nothing_else(size: int) -> None:
    """Reasoning, status and tools are not for a pipe."""
    stream = io.StringIO()
    with PlainView(stream) as view:
        for event in [
            Status("loading", "Loading"),
            Reasoning("hm"),
            ToolCall("1", "f", {}),
            *in_pieces(MARKDOWN, size),
        ]:
            view.show(event)
    assert MARKDOWN == stream.getvalue()


def test_plain_view_ends_the_last_line() -> None:
    """A newline is added where the answer has none, and nowhere else."""
    for text, expected in (("a", "a\n"), ("a\n", "a\n"), ("", "")):
        stream = io.StringIO()
        with PlainView(stream) as view:
            view.show(Token(text))
        assert expected == stream.getvalue()
