"""The encoders: what a client holds after an id depends on that id alone, and the pieces are the exact answer."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream import sse
from llmstream.dialects.native.encoder import NativeEncoder
from llmstream.dialects.native.plain import PlainEncoder
from llmstream.events import (
    Cancelled,
    Data,
    Event,
    Failed,
    Finished,
    Reasoning,
    Started,
    Status,
    Timings,
    Token,
    ToolCall,
    ToolResult,
    Usage,
    from_dict,
)
from llmstream.http.encoder import HEARTBEAT, OPEN, Encoder

RUN = "f" * 32
START = Started("m", 1.5)
END = Finished("stop", Usage(1, 2), Timings(total_s=0.5))
ALL: list[Event] = [
    START,
    Status("queued", "first", 1),
    Status("loading"),
    Reasoning("hm\n"),
    Token('a"b\\c\n\r\u2028\x7f\x00é😀'),
    ToolCall("c", "get", {"city": "Köln"}),
    ToolResult("c", [1, None]),
    Data("sources", [{"title": "t"}]),
    END,
]

ANY = st.text(st.characters(exclude_categories=["Cs"]))
# What the plain dialect can carry: no \r anywhere, no newline at the beginning of the answer.
PLAIN = st.lists(
    st.text(st.one_of(st.sampled_from("a \n"), st.characters(exclude_characters="\r", exclude_categories=["Cs"])))
)


def encode(encoder: Encoder, events: Sequence[Event], cuts: Sequence[int] = ()) -> bytes:
    """The events in batches cut at these places, from where the encoder wants to be fed."""
    edges = sorted({encoder.start, len(events), *(cut for cut in cuts if cut > encoder.start)})
    return b"".join(encoder.encode(a + 1, events[a:b]) for a, b in pairwise(edges))


def messages(body: bytes) -> list[sse.Message]:
    """The messages of a whole body."""
    return sse.Decoder().feed(OPEN + body)


def shown(body: bytes) -> str:
    """What fetch-event-source's users see: a leading newline of a message is lost, every message's data is appended."""
    return "".join(message.data.removeprefix("\n") for message in messages(body))


def test_native_frames() -> None:
    """Each event is one message: id, event, one line of ASCII JSON with type, run and number first."""
    body = encode(NativeEncoder(RUN), ALL)
    for number, (frame, event) in enumerate(zip(body.split(b"\n\n"), ALL, strict=False), 1):
        lines = [line for line in frame.decode("ascii").split("\n") if not line.startswith("retry: ")]
        fields = json.loads(lines[2].removeprefix("data: "))
        assert [f"id: {RUN}-{number}", f"event: {fields['type']}"] == lines[:2]
        assert 3 == len(lines)
        assert ["type", "run", "seq"] == list(fields)[:3]
        assert (RUN, number, event) == (fields["run"], fields["seq"], from_dict(fields))
    assert body.endswith(b"\n\n")
    assert len(ALL) == body.count(b"\n\n")


@given(st.lists(st.one_of(st.builds(Token, ANY), st.builds(Reasoning, ANY)), max_size=8), st.data())
def test_native_text_is_identical_and_batching_does_not_show(events: list[Event], data: st.DataObject) -> None:
    """Any text, every control character too, comes through; the bytes do not depend on the batches."""
    events = [START, *events, END]
    cuts = data.draw(st.lists(st.integers(0, len(events)), max_size=4))
    body = encode(NativeEncoder(RUN), events, cuts)
    assert encode(NativeEncoder(RUN), events) == body
    assert events == [from_dict(json.loads(message.data)) for message in messages(body)]
    after = data.draw(st.integers(0, len(events)))
    assert events[after:] == [
        from_dict(json.loads(message.data)) for message in messages(encode(NativeEncoder(RUN, after), events, cuts))
    ]


@given(PLAIN, st.data())
def test_plain_pieces_are_the_exact_answer(tokens: list[str], data: st.DataObject) -> None:
    """However an answer was cut into tokens, batches and connections, what is shown is the answer."""
    text = "".join(tokens).lstrip("\n")
    tokens = list(tokens)
    while tokens and "".join(tokens).startswith("\n"):
        tokens[0] = tokens[0].lstrip("\n")
        if not tokens[0]:
            tokens.pop(0)
    events: list[Event] = [START, Status("waiting"), *(Token(token) for token in tokens), END]
    cuts = data.draw(st.lists(st.integers(0, len(events)), max_size=4))
    whole = messages(encode(PlainEncoder(RUN), events))
    assert text == shown(encode(PlainEncoder(RUN), events, cuts))
    assert "done" == whole[-1].event
    numbers = [int(message.id.rpartition("-")[2]) for message in whole]
    assert sorted(set(numbers)) == numbers
    assert all(message.data for message in whole[:-1])
    # Whatever was the last message a client applied, its id brings exactly the rest.
    for held, message in enumerate(whole[:-1], 1):
        after = int(message.id.rpartition("-")[2])
        assert whole[held:] == messages(encode(PlainEncoder(RUN, after), events, cuts))


@pytest.mark.parametrize(
    ("end", "name", "data"),
    [
        (END, "done", ""),
        (Failed("upstream_stalled", "Ollama sent nothing.", True), "FatalError", "Ollama sent nothing."),
        (Cancelled("stop"), "FatalError", "The answer was stopped."),
        (Cancelled("left"), "FatalError", "The answer was stopped: nobody was reading it."),
        (Cancelled("replaced"), "FatalError", "The answer was replaced by a newer question."),
    ],
)
def test_plain_endings(end: Event, name: str, data: str) -> None:
    """What is held back comes before the end, and the end has the terminal event's number."""
    body = encode(PlainEncoder(RUN), [START, Token("ab"), end])
    assert [("message", "a", f"{RUN}-1"), ("message", "b", f"{RUN}-2"), (name, data, f"{RUN}-3")] == [
        (message.event, message.data, message.id) for message in messages(body)
    ]


def test_plain_shows_only_the_answer() -> None:
    """Thinking, tools and statuses are not text; an empty token is no message."""
    events: list[Event] = [
        START,
        Status("loading"),
        Reasoning("hm"),
        Token(""),
        Data("d", 1),
        Token("ok"),
        Token(""),
        END,
    ]
    assert [("message", "o"), ("message", "k"), ("done", "")] == [
        (message.event, message.data) for message in messages(encode(PlainEncoder(RUN), events))
    ]


@pytest.mark.parametrize("make", [NativeEncoder, PlainEncoder])
def test_a_position_that_is_lost_is_told(make: Any) -> None:
    """One message without an id says why."""
    (message,) = messages(make(RUN).lost("future"))
    assert ("", True) == (message.id, "future" in message.data)
    assert ("reset" if make is NativeEncoder else "FatalError") == message.event


@pytest.mark.parametrize("make", [NativeEncoder, PlainEncoder])
def test_ids_make_no_preflight(make: Any) -> None:
    """Ids are short and hold nothing a browser would ask leave for."""
    events: list[Event] = [START, *[Token("ab")] * 50, END]
    found = [message.id for message in messages(encode(make(RUN), events))]
    assert found
    assert all(re.fullmatch(r"[0-9a-z-]{1,128}", each) for each in found)


def test_comments_are_one_line() -> None:
    """A comment ends no message."""
    assert [b": open\n", b": ping\n"] == [OPEN, HEARTBEAT]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400])
def test_numbers_json_lacks(value: float) -> None:
    """NaN never reaches the wire as it is: a chain's values are made JSON before; a huge integer is one."""
    if value == value and value not in (float("inf"),):
        assert str(value).encode() in NativeEncoder(RUN).encode(1, [Data("n", value)])
    else:
        with pytest.raises(ValueError, match="JSON"):
            NativeEncoder(RUN).encode(1, [Data("n", value)])
