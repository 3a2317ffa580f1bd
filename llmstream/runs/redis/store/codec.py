"""Batches of events as bytes, and back: a JSON array, in which a bare token is its text alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from llmstream.errors import StoreCorrupt
from llmstream.events import Data, Event, Token, from_dict, json_value

# What one entry of the log holds at most, in events and about in bytes; one event alone may be larger.
ENTRY_EVENTS = 256
ENTRY_BYTES = 16 * 2**10
_ID = re.compile(rb"(\d{1,9})-(\d{1,9})")

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[list[str | Event]] = msgspec.json.Decoder(list[str | Event])


def encode(events: Sequence[Event]) -> Iterator[tuple[int, bytes]]:
    """The events in pieces that fit into an entry: how many, and their bytes."""
    for start in range(0, len(events), ENTRY_EVENTS):
        yield from _entries(events[start : start + ENTRY_EVENTS])


def _entries(events: Sequence[Event]) -> Iterator[tuple[int, bytes]]:
    data = _encode(events)
    if len(data) <= ENTRY_BYTES or len(events) == 1:
        yield len(events), data
    else:
        middle = len(events) // 2
        yield from _entries(events[:middle])
        yield from _entries(events[middle:])


def _encode(events: Sequence[Event]) -> bytes:
    plain = [
        event.text if type(event) is Token and event.message is None and event.name is None else event
        for event in events
    ]
    try:
        return _encoder.encode(plain)
    except (TypeError, ValueError, OverflowError, RecursionError):  # a chain may emit anything
        return _encoder.encode([_tame(event) for event in plain])


def _tame(event: str | Event) -> Any:
    if isinstance(event, str):
        return json_value(event)
    return {"type": event.__struct_config__.tag, **json_value(event)}


def decode(data: bytes, count: int) -> list[Event]:
    """The `count` events of an entry; raises `StoreCorrupt` for other contents."""
    try:
        events = [Token(item) if type(item) is str else item for item in _decode(data)]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise StoreCorrupt from None
    if len(events) != count:
        raise StoreCorrupt
    return events  # type: ignore[return-value]


def _decode(data: bytes) -> Sequence[str | Event]:
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError:  # an event of a version later than this one, which must count all the same
        return [item if isinstance(item, str) else _known(item) for item in msgspec.json.decode(data, type=list[Any])]


def _known(item: Any) -> Event:
    if not isinstance(item, dict) or not isinstance(item.get("type"), str):
        raise StoreCorrupt
    return from_dict(item) or Data("unknown", item)


def numbers(id_: bytes) -> tuple[int, int]:
    """The last number of an entry, and how many events it holds, by its id; raises `StoreCorrupt`."""
    match = _ID.fullmatch(id_)
    if match is None:
        raise StoreCorrupt
    return int(match[1]), int(match[2])
