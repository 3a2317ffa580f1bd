"""SSE text to messages and back, by the HTML standard, however the bytes are cut."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource
from hypothesis import given
from hypothesis import strategies as st

from llmstream import sse
from tests.support.golden import WIRE

# The bytes of web-platform-tests' eventsource/format-*.any.js, and the events and data of the messages they expect; the
# client in apps/react reads them too.
WPT: list[dict[str, Any]] = json.loads((WIRE / "sse_corpus.json").read_text())


def decode(*chunks: bytes) -> list[tuple[str, str]]:
    """The events and data of what is fed."""
    decoder = sse.Decoder()
    return [(message.event, message.data) for chunk in chunks for message in decoder.feed(chunk)]


@pytest.mark.parametrize("case", WPT, ids=[case["name"] for case in WPT])
def test_the_corpus_of_web_platform_tests(case: dict[str, Any]) -> None:
    """Every case gives its messages, in one piece, byte by byte, and in two pieces cut anywhere."""
    data = case["text"].encode()
    expected = [(event, text) for event, text in case["messages"]]
    assert expected == decode(data)
    assert expected == decode(*(bytes([byte]) for byte in data))
    for cut in range(0, len(data), max(1, len(data) // 50)):
        assert expected == decode(data[:cut], data[cut:])


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("id: a\ndata:1\n\ndata:2\n\nid:b\ndata:3\n\n", ["a", "a", "b"]),
        ("id: a\ndata:1\n\nid\ndata:2\n\n", ["a", ""]),
        ("id: a\ndata:1\n\nid: b\0c\ndata:2\n\n", ["a", "a"]),
        ("id: a\n\ndata:1\n\n", ["a"]),
        ("id: a: b \ndata:1\n\n", ["a: b "]),
    ],
)
def test_ids(text: str, ids: list[str]) -> None:
    """An id holds until the next one; one with a NUL is ignored, an empty one clears it."""
    decoder = sse.Decoder()
    assert ids == [message.id for message in decoder.feed(text.encode())]
    assert ids[-1] == decoder.last_id


def test_an_id_counts_when_its_message_is_whole() -> None:
    """A cut between the id line and the blank line leaves the id before it."""
    decoder = sse.Decoder()
    decoder.feed(b"id: a\ndata:1\n\nid: b\ndata: 2\n")
    assert "a" == decoder.last_id


@pytest.mark.parametrize(
    ("text", "expected"),
    [("retry:03000\n", 3000), ("retry:1000x\n", None), ("retry\n", None), ("retry: 5\n", 5), ("retry:²\n", None)],
)
def test_retry(text: str, expected: int | None) -> None:
    """Only ASCII digits are a time."""
    decoder = sse.Decoder()
    decoder.feed(text.encode())
    assert expected == decoder.retry_ms


def test_bytes_that_are_no_utf8() -> None:
    """A broken byte is U+FFFD, an emoji cut in the middle is whole."""
    assert [("message", "a\ufffdb")] == decode(b"data:a\xffb\n\n")
    assert [("message", "😀")] == decode(b"data:\xf0\x9f", b"\x98\x80\n\n")


LINES = st.sampled_from(["\n", "\r", "\r\n"])
NO_LINE_END = st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])


@given(st.lists(st.text(NO_LINE_END), min_size=1), st.from_regex(r"\A[a-z_-]*\Z"), st.from_regex(r"\A[0-9a-z-]*\Z"))
def test_what_is_encoded_is_decoded(lines: list[str], event: str, id: str) -> None:
    r"""Any text without \r comes back, with its event name and id."""
    frame = sse.encode("\n".join(lines), event=event, id=id).encode()
    assert [sse.Message(event or "message", "\n".join(lines), id)] == sse.Decoder().feed(frame)


@given(st.lists(st.tuples(st.text(alphabet="abdt: \0\ufeffé😀_", max_size=12), LINES)), st.data())
def test_any_bytes_cut_anywhere_are_the_same(lines: list[tuple[str, str]], data: st.DataObject) -> None:
    """What comes out depends on the bytes, not on how they came."""
    text = "".join(line + end for line, end in lines).replace("d", "data:").encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert decode(text) == decode(*chunks)


@pytest.mark.parametrize("bad", ["a\nb", "a\r", "a\0", "a b", "é", "a:b", "\u2028"])
def test_names_and_ids_can_carry_nothing_else(bad: str) -> None:
    """Text in an event name or an id can't make another frame: it is refused."""
    with pytest.raises(ValueError, match="letters, digits"):
        sse.encode("x", event=bad)
    with pytest.raises(ValueError, match="letters, digits"):
        sse.encode("x", id=bad)


@given(st.lists(st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"])), max_size=5))
def test_httpx_sse_reads_the_same(texts: list[str]) -> None:
    """Another parser sees the same messages in what we write, unless a text holds what it takes for a line end."""
    texts = [text for text in texts if text.splitlines() == text.split("\n")[: len(text.splitlines())]]
    body = ": open\n" + "".join(sse.encode(text, event="token", id=f"r-{n}") for n, text in enumerate(texts))
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body.encode())
    theirs = [(each.event, each.data, each.id) for each in EventSource(response).iter_sse()]
    ours = [(each.event, each.data, each.id) for each in sse.Decoder().feed(body.encode())]
    assert ours == theirs
