"""The steps in Redis that are one, each by itself: what they answer, and what they change."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from llmstream.runs.log import END_OF_LOST
from llmstream.runs.redis.scripts import APPEND, ASK, CREATE, REAP, UNDO
from tests.support.redis import RedisServer

TIMES = (600_000, 700_000, 800_000)


class Stored:
    """One run in a store, in a place of its own, and the scripts on it."""

    def __init__(self, server: RedisServer) -> None:
        self.client = server.client
        self.meta = f"{secrets.token_hex(4)}:{{r}}"
        self.log, self.watchers, self.key, self.question = (f"{self.meta}:{name}" for name in "ewkq")

    def create(self, run: str = "r", node: str = "me", fingerprint: str = "f") -> Any:
        arguments = (run, node, "ann", fingerprint, 1, TIMES[2], 0)
        return self.client.eval(CREATE.source, 3, self.meta, self.key, self.log, *arguments)

    def append(self, *entries: tuple[int, int], end: int = -1, node: str = "me") -> Any:
        flat = [part for last, count in entries for part in (last, count, "[]")]
        ends = end >= 0
        keys = (self.meta, self.log, *([self.question, self.watchers, self.key] if ends else []))
        arguments = (*keys, node, *TIMES, int(ends), end, "", len(entries), *flat)
        return self.client.eval(APPEND.source, len(keys), *arguments)[0]

    def reap(self, number: int, node: str = "me") -> Any:
        return self.client.eval(
            REAP.source, 4, self.meta, self.log, self.watchers, self.question, node, number, "[]", *TIMES[:2]
        )

    def ask(self, by: str) -> Any:
        return self.client.eval(ASK.source, 1, self.meta, by)

    def undo(self, run: str = "r", node: str = "me") -> Any:
        return self.client.eval(UNDO.source, 2, self.meta, self.key, node, run)

    @property
    def entries(self) -> list[str]:
        return [id_.decode() for id_, _ in self.client.xrange(self.log)]

    @property
    def state(self) -> str:
        return str(self.client.hget(self.meta, "s").decode())


@pytest.fixture
def run(redis_server: RedisServer) -> Stored:
    """A run with ten events in two entries."""
    run = Stored(redis_server)
    run.create()
    run.append((4, 4), (10, 6))
    return run


@pytest.mark.parametrize(
    ("entries", "end", "answer", "stored", "state"),
    [
        ([(12, 2)], -1, [b"ok", 12, b"", b"0"], ["4-4", "10-6", "12-2"], ""),
        ([(12, 2), (13, 1)], 13, [b"ok", 13, b"", b"0"], ["4-4", "10-6", "12-2", "13-1"], "end"),
        ([(10, 6)], -1, [b"ok", 10, b"", b"0"], ["4-4", "10-6"], ""),  # it has that already
        ([(10, 6), (11, 1)], -1, [b"ok", 11, b"", b"0"], ["4-4", "10-6", "11-1"], ""),
        ([(12, 1)], 12, [b"gap", 10], ["4-4", "10-6"], ""),  # it lacks number 11
        ([(12, 4)], 12, [b"gap", 10], ["4-4", "10-6"], ""),  # it has half of that
        ([(11, 1), (13, 1)], 13, [b"gap", 11], ["4-4", "10-6", "11-1"], ""),
        ([], -1, [b"ok", 10, b"", b"0"], ["4-4", "10-6"], ""),
        ([], 10, [b"ok", 10, b"", b"0"], ["4-4", "10-6"], "end"),
        (
            [],
            20,
            [b"ok", 10, b"", b"0"],
            ["4-4", "10-6"],
            "",
        ),  # the tail was lost, which its owner does not know
    ],
)
def test_what_is_appended(
    run: Stored, entries: list[tuple[int, int]], end: int, answer: list[Any], stored: list[str], state: str
) -> None:
    """What is there is skipped, a hole is answered with the number to go on from, and only all of it is the end."""
    assert answer == run.append(*entries, end=end)
    assert (stored, state) == (run.entries, run.state)
    assert answer == run.append(*entries, end=end), "another answer the second time"
    assert (stored, state) == (run.entries, run.state)


def test_a_run_of_which_a_part_is_lost_is_written_again(run: Stored) -> None:
    """Events without what is known of their run, or the other way round, as a store that needs room may leave it."""
    run.client.delete(run.log)
    assert [b"gap", 0] == run.append((11, 1))
    assert [b"ok", 11, b"", b"0"] == run.append((10, 10), (11, 1))
    run.client.delete(run.meta)
    assert [b"gone"] == run.append((12, 1))
    run.create()
    assert [b"ok", 12, b"", b"0"] == run.append((12, 12))
    assert ["12-12"] == run.entries


def test_who_may_append(run: Stored) -> None:
    """Its owner, while nobody has taken it for dead; a run that is not there can't be appended to."""
    assert [b"fenced"] == run.append((11, 1), node="other")
    assert 0 == run.reap(9)
    assert 0 == run.reap(10, node="other")
    assert [1, 0] == [run.reap(10), run.reap(10)]
    assert (["4-4", "10-6", f"{END_OF_LOST}-1"], "lost") == (run.entries, run.state)
    assert [b"fenced"] == run.append((11, 1))
    run.client.delete(run.meta)
    assert [b"gone"] == run.append((11, 1))


def test_a_run_that_ended_is_not_lost(run: Stored) -> None:
    """Its end counts, whoever thinks that its owner is dead."""
    run.append(end=10)
    assert 0 == run.reap(10)
    assert "end" == run.state


def test_a_stop_is_asked_for_once(run: Stored) -> None:
    """Also where the answer got lost and it is asked again; the owner hears of it with its next append."""
    assert [b"me", b"me", 0] == [run.ask("stop 1"), run.ask("stop 1"), run.ask("replaced 2")]
    assert [b"ok", 11, b"stop 1", b"0"] == run.append((11, 1))
    run.append(end=11)
    assert 0 == run.ask("stop 1")


def test_a_creation_is_taken_back(redis_server: RedisServer) -> None:
    """As long as nothing was appended, and only by its owner; the key is free then."""
    run = Stored(redis_server)
    assert [b"run", b"r"] == run.create()
    assert [b"run", b"r"] == run.create()
    assert [b"run", b"r"] == run.create("other")
    assert [b"conflict", b""] == run.create("other", fingerprint="g")
    assert 0 == run.undo(node="other")
    assert 1 == run.undo()
    assert not run.client.exists(run.meta, run.key)
    run.create()
    run.append((1, 1))
    assert 0 == run.undo()
