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

    def part(self, *entries: tuple[int, int], end: int = -1, question: str = "", ends: int = 1) -> tuple[Any, Any]:
        """The keys and arguments of this run in a call."""
        flat = [part for last, count in entries for part in (last, count, "[]")]
        own = 5 if end >= 0 else 3 if question else 2
        keys = (self.meta, self.log, self.question, self.watchers, self.key)[:own]
        return keys, (ends if end >= 0 else 0, end, question, len(entries), *flat)

    def append(self, *entries: tuple[int, int], end: int = -1, node: str = "me", question: str = "") -> Any:
        return append(self.client, self.part(*entries, end=end, question=question), node=node)[0]

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


def append(client: Any, *parts: tuple[Any, Any], node: str = "me") -> list[Any]:
    """One call for several runs."""
    keys = [key for own, _ in parts for key in own]
    arguments = [argument for _, own in parts for argument in own]
    return list(client.eval(APPEND.source, len(keys), *keys, node, *TIMES, *arguments))


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


def test_each_run_of_a_call_has_keys_of_its_own(redis_server: RedisServer) -> None:
    """Two names for one that goes on, three where its question is told, and five where it ends."""
    runs = [Stored(redis_server) for _ in range(5)]
    for each in runs[:4]:
        each.create()
    told, plain, cut, whole, gone = runs
    answers = append(
        told.client,
        told.part((2, 2), question="Why?"),
        gone.part((3, 3), question="Who?"),
        plain.part((3, 3)),
        cut.part((4, 4), end=4, question="When?", ends=2),
        whole.part((5, 5), end=5, question="Where?"),
        told.part((6, 4)),
    )
    assert [[b"ok", 2], [b"gone"], [b"ok", 3], [b"ok", 4], [b"ok", 5], [b"ok", 6]] == [each[:2] for each in answers]
    assert ["", "", "end", "end"] == [each.state for each in runs[:4]]
    assert [b"Why?", None, b"When?", None, None] == [each.client.get(each.question) for each in runs]
    assert [600, 800] == [round(each.client.pttl(each.question) / 1000) for each in (cut, told)]


def test_a_question_for_which_there_is_no_room_is_not_taken_for_stored(run: Stored) -> None:
    """It is told once more when there is."""
    run.client.config_set("maxmemory", 1)
    try:
        assert b"error" == run.append(question="Why?")[0]
    finally:
        run.client.config_set("maxmemory", 0)
    assert [b"ok", 10, b"", b"0"] == run.append(question="Why?")
    assert b"Why?" == run.client.get(run.question)


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
