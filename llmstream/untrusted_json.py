"""JSON from strangers: what would cost many times its size is refused before it is parsed, half an emoji is mended."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from llmstream.errors import InvalidRequest

# A parsed value takes up to half a kilobyte. A chat of thousands of short messages has fewer than this, and where a
# body is larger, its texts are longer.
_VALUES = 10_000
_BYTES_PER_VALUE = 64
_DEPTH = 100

# Whole strings, the last one perhaps without an end, be it behind half an escape: what a quote begins always matches,
# so that no text is walked twice.
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
# A whole string, or all that follows `data:image/png;base64,` in one; what it may begin behind keeps this linear.
_BASE64 = re.compile(rb'(?<=[",])[A-Za-z0-9+/]{1024,}+={0,2}(?=")')
_BRACKETS = re.compile(rb"[\[\]{}]")

# Half of a surrogate pair without its other half, where no escaped backslash stands before.
_HALF = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_BACKSLASH, _STAND_IN = rb"\\", b"\0"

# Ollama's and everybody's integers have 64 bits.
_LARGEST = 2**64


def check_cost(data: bytes) -> None:
    """Raises `InvalidRequest` for JSON with too many values, or nested too deep; looks closer only where it may be."""
    openings = data.count(b"[") + data.count(b"{")
    if openings <= _DEPTH and openings + data.count(b",") <= _VALUES:
        return
    most = max(_VALUES, len(without_images(data)) // _BYTES_PER_VALUE)  # a large image allows no more values
    bare = _STRINGS.sub(b"", data)
    if bare.count(b",") + bare.count(b"[") + bare.count(b"{") > most:
        raise InvalidRequest(f"The body holds more than {most} values. Send fewer.")
    depth = 0
    for bracket in _BRACKETS.findall(bare):
        depth += 1 if bracket in b"[{" else -1
        if depth > _DEPTH:
            raise InvalidRequest(f"The body is nested more than {_DEPTH} deep. Send it flatter.")


def without_images(data: bytes) -> bytes:
    """JSON without the long strings of base64 in it, which images are."""
    if b"\\/" in data:  # as PHP writes it
        data = data.replace(b"\\/", b"/")
    return _BASE64.sub(b"", data)


def mended(data: bytes) -> bytes:
    """The JSON with U+FFFD for what is no character: half of a surrogate pair, bytes that are not UTF-8.

    JavaScript's `slice` leaves half an emoji, and `JSON.stringify` writes it as an escape.
    """
    data = data.decode("utf-8", "replace").encode()
    if b"\\u" not in data or _STAND_IN in data:  # no JSON holds a NUL
        return data
    return _HALF.sub(rb"\\ufffd", data.replace(_BACKSLASH, _STAND_IN)).replace(_STAND_IN, _BACKSLASH)


def json_object(data: bytes) -> dict[str, Any]:
    """The JSON object in these bytes; an empty one where there is none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def check_numbers(value: Any, where: str) -> None:
    """Raises `InvalidRequest` for JSON with a number that JSON, or 64 bits, can't hold."""
    if isinstance(value, dict):
        for name, item in value.items():
            check_numbers(item, f"{where}.{name[:40]}")
    elif isinstance(value, list | tuple):
        for item in value:
            check_numbers(item, where)
    elif (isinstance(value, float) and not math.isfinite(value)) or (isinstance(value, int) and abs(value) > _LARGEST):
        raise InvalidRequest(f"{where}: the number is too large.")
