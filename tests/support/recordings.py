"""Recordings of what a real Ollama answered."""

from __future__ import annotations

from tests.support import DATA

RECORDINGS = DATA / "recordings"


def recording(name: str) -> bytes:
    """The bytes of an answer."""
    return (RECORDINGS / f"{name}.http").read_bytes()
