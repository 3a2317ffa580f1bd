"""Golden transcripts of the dialects, in `tests/data/wire/`."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator

from tests.support import DATA

WIRE = DATA / "wire"
# What differs from one run to the next: ids, times, and what was measured.
_VARIABLE = [
    (re.compile(r"[0-9a-f]{32}"), "RUN"),
    (re.compile(r"call_[0-9a-z]{8}(_\d)?"), "CALL"),
    (re.compile(r'("(?:created|[a-z_]*duration|[a-z_]+_s)"):[\d.e-]+'), r"\1:0"),
    (re.compile(r'("(?:created|completed)_at"):("[^"]*"|[\d.]+)'), r"\1:0"),
]


def golden(name: str, body: bytes, *, fixed: bool = False) -> None:
    """The transcript is that of tests/data/wire/, but for ids and times; LLMSTREAM_TEST_UPDATE=1 writes it anew.

    fixed: whether ids and times are the same in every run of the tests.
    """
    text = body.decode()
    for pattern, replacement in () if fixed else _VARIABLE:
        text = pattern.sub(replacement, text)
    path = WIRE / f"{name}.txt"
    if os.environ.get("LLMSTREAM_TEST_UPDATE"):
        path.write_bytes(text.encode())
    assert path.read_bytes().decode() == text


async def forever(question: object) -> AsyncIterator[str]:
    """A chain that begins and never ends."""
    yield "One"
    await asyncio.Event().wait()
