"""npm's parsers of server-sent events, and our own: what each makes of a body."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmstream import sse
from tests.support.browser import build
from tests.support.npm import run_program
from tests.support.serving import messages

PARSERS = ("eventsource-parser", "fetch-event-source")

Message = dict[str, str]


def node(program: str, *arguments: str | Path) -> Any:
    """What a program of tests/clients/pages/node prints, which is JSON."""
    return run_program(build() / "node" / program, *arguments)


def parsed(folder: Path, *bodies: bytes, chunk_size: int = 0) -> list[dict[str, list[Message]]]:
    """What each parser of npm makes of each body."""
    paths = [folder / f"{n}.txt" for n in range(len(bodies))]
    for path, body in zip(paths, bodies, strict=True):
        path.write_bytes(body)
    found: list[dict[str, list[Message]]] = node("messages.mjs", str(chunk_size), *paths)
    return found


def alike(*bodies: bytes) -> list[dict[str, list[Message]]]:
    """What each parser of npm must make of each body: what ours does."""
    return [dict.fromkeys(PARSERS, ours(body)) for body in bodies]


def ours(body: bytes) -> list[Message]:
    """The messages of an SSE body by our own parser."""
    return [as_dict(message) for message in messages(body)]


def as_dict(message: sse.Message) -> Message:
    """A message as the Node programs write it."""
    return {"event": message.event, "data": message.data, "id": message.id}
