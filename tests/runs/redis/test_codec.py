"""Events as bytes in a store, and back: nothing changes but what JSON can't hold, and the count always holds."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.errors import StoreCorrupt
from llmstream.events import Data, Event, Token, ToolResult
from llmstream.runs.redis.store.codec import ENTRY_BYTES, ENTRY_EVENTS, decode, encode
from tests.test_events import ONE_OF_EACH

KEPT = [event for event, fields in ONE_OF_EACH if fields["type"] != "reset"]  # which is part of no log


def through(events: list[Event]) -> list[Event]:
    """What comes back."""
    return list(itertools.chain.from_iterable(decode(data, count) for count, data in encode(events)))


def test_each_event_comes_back() -> None:
    """As it was, alone and among all others."""
    assert through(KEPT) == KEPT
    assert [through([event]) for event in KEPT] == [[event] for event in KEPT]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=600))
def test_any_text_comes_back(texts: list[str]) -> None:
    """Each token with its number."""
    assert through([*map(Token, texts)]) == [*map(Token, texts)]


@pytest.mark.parametrize("value", [object(), {1: {2, 3}}, b"\xff", float("nan"), "\ud83d", 10**40])
def test_what_json_can_not_hold_counts_all_the_same(value: Any) -> None:
    """It is told as well as it can be, and what stands beside it is whole."""
    first, second, last = through([Token("a"), ToolResult("i", value), Token("b")])
    assert (Token("a"), Token("b")) == (first, last)
    assert isinstance(second, ToolResult)
    assert isinstance(through([Token("\ud83d")])[0], Token)


def test_an_event_of_a_later_version_counts() -> None:
    """Nobody knows what it is, and the numbers behind it are right."""
    unknown = {"type": "hologram", "depth": 3}
    assert [Token("a"), Data("unknown", unknown), Token("b")] == decode(json.dumps(["a", unknown, "b"]).encode(), 3)


def test_entries_are_small() -> None:
    """Neither many events nor long ones make a large one; one event is never cut."""
    long = [Token("x" * 1000)] * 300
    sizes = [(count, len(data)) for count, data in encode([*[Token("a")] * 1000, *long, Token("y" * 10**6)])]
    assert 1301 == sum(count for count, _ in sizes)
    assert max(count for count, _ in sizes) <= ENTRY_EVENTS
    assert [10**6 + 4] == [size for _, size in sizes if size > ENTRY_BYTES]


@pytest.mark.parametrize("data", [b"", b"[", b"\x80\x04.", b"[1]", b"{}", b'[{"lc":1}]', b'["a","b"]', b"[" * 10**5])
def test_garbage_is_refused(data: bytes) -> None:
    """Whatever it is, it is told as such."""
    with pytest.raises(StoreCorrupt):
        decode(data, 1)
