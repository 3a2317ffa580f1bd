"""Events and their dict form, and what becomes of values that JSON can't hold."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.events import (
    EVENT_TYPES,
    TERMINAL,
    Cancelled,
    Continued,
    Data,
    Event,
    Failed,
    Finished,
    Interrupt,
    Interrupted,
    Reasoning,
    Reset,
    Started,
    Status,
    Timings,
    Token,
    ToolCall,
    ToolResult,
    Usage,
    Withdrawn,
    from_dict,
    is_terminal,
    json_value,
    to_dict,
    well_formed,
)

ONE_OF_EACH: list[tuple[Event, dict[str, Any]]] = [
    (Started("m", 1.5), {"type": "started", "model": "m", "created_at": 1.5}),
    (Status("queued", position=1), {"type": "status", "state": "queued", "position": 1}),
    (Status("loading", "x"), {"type": "status", "state": "loading", "detail": "x"}),
    (
        Status("waiting", "x", eta_s=7.0, progress=0.3, tokens=90),
        {"type": "status", "state": "waiting", "detail": "x", "eta_s": 7.0, "progress": 0.3, "tokens": 90},
    ),
    (Reasoning("a"), {"type": "reasoning", "text": "a"}),
    (Token("a"), {"type": "token", "text": "a"}),
    (Token("a", "m1", "ask"), {"type": "token", "text": "a", "message": "m1", "name": "ask"}),
    (Continued("r0"), {"type": "continued", "of": "r0"}),
    (Withdrawn("m1"), {"type": "withdrawn", "message": "m1"}),
    (ToolCall("i", "f", {"a": 1}), {"type": "tool_call", "id": "i", "name": "f", "arguments": {"a": 1}}),
    (ToolResult("i", [1]), {"type": "tool_result", "id": "i", "output": [1]}),
    (Data("n", None), {"type": "data", "name": "n", "value": None}),
    (
        Finished("stop", Usage(1, 2), Timings(total_s=1.0)),
        {
            "type": "finished",
            "reason": "stop",
            "usage": {"input_tokens": 1, "output_tokens": 2},
            "timings": {"total_s": 1.0},
        },
    ),
    (Failed("busy", "x", True), {"type": "failed", "code": "busy", "message": "x", "retryable": True}),
    (Cancelled("stop"), {"type": "cancelled", "by": "stop"}),
    (
        Interrupted([Interrupt(id="i", value={"ask": 1})], Usage(), Timings()),
        {"type": "interrupted", "interrupts": [{"id": "i", "value": {"ask": 1}}], "usage": {}, "timings": {}},
    ),
    (Reset("trimmed"), {"type": "reset", "reason": "trimmed"}),
]


@pytest.mark.parametrize(("event", "fields"), ONE_OF_EACH, ids=lambda value: str(type(value).__name__))
def test_dict_and_back(event: Event, fields: dict[str, Any]) -> None:
    """An event becomes the documented fields, and they become the event."""
    assert fields == to_dict(event)
    assert event == from_dict(fields)
    assert event == from_dict({**fields, "seq": 5, "run": "r", "new_field": 1})


def test_every_type_is_covered() -> None:
    """The list above has one of each."""
    assert set(EVENT_TYPES.values()) == {type(event) for event, _ in ONE_OF_EACH}
    assert [type(event) in TERMINAL for event, _ in ONE_OF_EACH] == [is_terminal(event) for event, _ in ONE_OF_EACH]


@pytest.mark.parametrize("fields", [{}, {"type": "from_the_future"}, {"type": None}, {"type": 5}, {"type": ["token"]}])
def test_unknown_types_are_ignored(fields: dict[str, Any]) -> None:
    """What a newer server sends is not an error."""
    assert from_dict(fields) is None


@pytest.mark.parametrize(
    "fields", [{"type": "token"}, {"type": "token", "text": None}, {"type": "finished", "reason": "x"}]
)
def test_known_types_must_be_whole(fields: dict[str, Any]) -> None:
    """A known type that lacks a field is an error."""
    with pytest.raises(msgspec.ValidationError):
        from_dict(fields)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", "a"),
        ("a\ud83d", "a\ufffd"),
        ("\ude00a", "\ufffda"),
        ("\ud83d\ude00", "😀"),
        ("\ud83d\ud83d\ude00", "\ufffd😀"),
    ],
)
def test_well_formed(text: str, expected: str) -> None:
    """A lone half of a pair becomes U+FFFD, two halves become the character."""
    assert expected == well_formed(text)


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_well_formed_text_can_be_written(text: str) -> None:
    """Any text becomes one that UTF-8 can hold; one that it can hold stays as it is."""
    done = well_formed(text)

    assert done == done.encode().decode() == well_formed(done)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters(exclude_categories=[]))
    | st.binary() | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)  # fmt: skip


@given(anything)
def test_any_value_becomes_json(value: Any) -> None:
    """Whatever a chain emits, JSON can hold what becomes of it, in Python's encoder and in msgspec's."""
    made = json_value(value)

    assert made == json.loads(json.dumps(made, allow_nan=False))
    assert made == msgspec.json.decode(msgspec.json.encode(made))
    assert made == json_value(made)


@pytest.mark.parametrize(
    ("value", "expected"), [(math.nan, None), (-math.inf, None), (2**100, str(2**100)), ({1}, [1])]
)
def test_what_json_has_no_word_for(value: Any, expected: Any) -> None:
    """No number is null, a huge one is a text, a set is a list."""
    assert expected == json_value(value)
