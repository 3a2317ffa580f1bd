"""Golden transcripts of the dialects, in `tests/data/wire/`."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from tests.support import DATA
from tests.support.serving import Served, post

WIRE = DATA / "wire"
RUN = "0" * 32
# What differs from one run to the next: ids, times, and what was measured.
_VARIABLE = [
    (re.compile(r"[0-9a-f]{32}"), "RUN"),
    (re.compile(r"call_[0-9a-z]{8}(_\d)?"), "CALL"),
    (re.compile(r'("(?:created|[a-z_]*duration|[a-z_]+_s)"):[\d.e-]+'), r"\1:0"),
    (re.compile(r'("(?:created|completed)_at"):("[^"]*"|[\d.]+)'), r"\1:0"),
]

Begun = tuple[httpx.Response, Iterator[bytes], bytes]


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


def normal(body: bytes, run: str) -> bytes:
    """A body without what differs from run to run: its id, the times, the ids of calls."""
    body = body.replace(run.encode(), RUN.encode())
    body = re.sub(rb'("created_at"|"[a-z_]+_s"):[0-9.e-]+', rb"\1:0.5", body)
    return re.sub(rb'"call_[0-9a-z]+"', b'"call_0"', body)


@contextmanager
def begun(served: Served, path: str, body: Mapping[str, Any]) -> Iterator[Begun]:
    """The stream of an answer of `forever` that has begun: the response, the rest of its body, and what came."""
    with httpx.stream("POST", f"{served.url}{path}", json=body, timeout=30) as response:
        pieces, came = response.iter_raw(), b""
        while b"One" not in came:
            came += next(pieces)
        yield response, pieces, came


def stopped(served: Served, path: str, body: Mapping[str, Any]) -> bytes:
    """The whole stream of an answer of `forever` that is stopped once it has begun."""
    with begun(served, path, body) as (response, pieces, came):
        assert 202 == post(f"{served.url}/runs/{response.headers['x-run-id']}/stop").status_code
        return came + b"".join(pieces)


async def forever(question: object) -> AsyncIterator[str]:
    """A chain that begins and never ends."""
    yield "One"
    await asyncio.Event().wait()
