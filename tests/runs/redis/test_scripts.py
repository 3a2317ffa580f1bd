"""The steps in Redis that are one, each by itself: what they answer, and what they change."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError

from llmstream.runs.log import END_OF_LOST
from llmstream.runs.redis.store.scripts import APPEND, ASK, CREATE, LOOK, REAP, SETTLE, STATES, UNDO, UNFOLLOW
from tests.support.redis import RedisServer

TTL, REPLAY, TOMB = 800_000, 600_000, 700_000


class Stored:
    """One run in a store, in a place of its own, and the scripts on it."""

    def __init__(self, server: RedisServer) -> None:
        self.client = server.client
        self.meta = f"{secrets.token_hex(4)}:{{r}}"
        self.log, self.watchers, self.key, self.question = (f"{self.meta}:{name}" for name in "ewkq")

    def create(self, run: str = "r", node: str = "me", fingerprint: str = "f") -> Any:
        arguments = (run, node, "ann", fingerprint, 1, TTL, "")
        return self.client.eval(CREATE.source, 3, self.meta, self.key, self.log, *arguments)

    def append(self, *entries: tuple[str, str]) -> Any:
        """What is answered to entries: each an `n` that the owner knows, and an id."""
        return append(self.client, *((self, known, id_) for known, id_ in entries))

    def settle(self, last: int, *, ends: int = 1, question: str = "", node: str = "me") -> Any:
        keys = (self.meta, self.log, self.question, self.watchers, self.key)
        return self.client.eval(SETTLE.source, 5, *keys, node, ends, last, question, TTL, REPLAY, TOMB, "")

    def look(self, node: str) -> Any:
        """What is told to a process that follows from now on."""
        return self.client.eval(LOOK.source, 3, self.meta, self.log, self.watchers, node, 0, 1, 0, 9, "", "r")

    def reap(self, number: str, node: str = "me") -> Any:
        keys = (self.meta, self.log, self.watchers, self.question)
        return self.client.eval(REAP.source, 4, *keys, node, number, "[]", REPLAY, TOMB, "")

    def ask(self, by: str) -> Any:
        return self.client.eval(ASK.source, 1, self.meta, by)

    def undo(self, run: str = "r", node: str = "me") -> Any:
        return self.client.eval(UNDO.source, 2, self.meta, self.key, node, run, "")

    @property
    def entries(self) -> list[str]:
        return [id_.decode() for id_, _ in self.client.xrange(self.log)]

    @property
    def state(self) -> str:
        return str(self.client.hget(self.meta, "s").decode())


def append(client: Any, *entries: tuple[Stored, str, str]) -> list[Any]:
    """One call for several runs."""
    keys = [key for run, _, _ in entries for key in (run.meta, run.log)]
    arguments = [argument for _, known, id_ in entries for argument in (known, id_, "", "[]")]
    return list(client.eval(APPEND.source, len(keys), *keys, TTL, "", *arguments))


def state(n: str, *, owner: bytes = b"me", state: bytes = b"", asked: bytes | None = None, follow: bytes = b"") -> Any:
    """What is told of a run."""
    return [owner, n.encode(), state, asked, follow]


@pytest.fixture
def run(redis_server: RedisServer) -> Stored:
    """A run with ten events in two entries."""
    run = Stored(redis_server)
    run.create()
    assert [] == run.append(("0", "4-4"), ("4-4", "10-6"))
    return run


@pytest.mark.parametrize(
    ("entries", "refused", "stored"),
    [
        ([("10-6", "12-2")], {}, ["4-4", "10-6", "12-2"]),
        ([("10-6", "12-2"), ("12-2", "13-1")], {}, ["4-4", "10-6", "12-2", "13-1"]),
        ([("4-4", "10-6")], {1: "10-6"}, ["4-4", "10-6"]),  # it has that already
        ([("11-1", "12-1")], {1: "10-6"}, ["4-4", "10-6"]),  # it lacks number 11
        ([("11-1", "12-1"), ("12-1", "13-1")], {1: "10-6", 2: "10-6"}, ["4-4", "10-6"]),
        ([("4-4", "8-4"), ("10-6", "11-1")], {1: "10-6"}, ["4-4", "10-6", "11-1"]),
    ],
)
def test_what_is_appended(
    run: Stored, entries: list[tuple[str, str]], refused: dict[int, str], stored: list[str]
) -> None:
    """What comes after all that is there, as the owner knows it; else the owner is told what there is."""
    assert [[number, *state(n)] for number, n in refused.items()] == run.append(*entries)
    assert stored == run.entries
    assert len(entries) == len(run.append(*entries)), "nothing is added twice"
    assert stored == run.entries


def test_a_run_of_which_a_part_is_lost_is_written_again(run: Stored) -> None:
    """Events without what is known of their run, or the other way round, as a store that needs room may leave it."""
    run.client.delete(run.log)
    assert [[1, *state("0")]] == run.append(("10-6", "11-1"))
    assert [] == run.append(("0", "10-10"), ("10-10", "11-1"))
    assert 800 == round(run.client.pttl(run.log) / 1000)
    run.client.delete(run.meta)
    assert [[1, None, None, None, None, None]] == run.append(("11-1", "12-1"))
    run.create()
    assert [] == run.append(("0", "12-12"))
    assert ["12-12"] == run.entries


def test_runs_of_one_call_do_not_hinder_each_other(redis_server: RedisServer) -> None:
    """One that is gone, and one of another kind of key."""
    first, gone, broken, last = (Stored(redis_server) for _ in range(4))
    for each in (first, broken, last):
        each.create()
    broken.client.set(broken.log, "no stream")
    answers = append(first.client, *((each, "0", "2-2") for each in (first, gone, broken, last)))
    assert [[2, None, None, None, None, None], [3, answers[1][1]]] == answers
    assert b"WRONGTYPE" in answers[1][1]
    assert ["2-2"] == first.entries == last.entries
    states = first.client.eval(STATES.source, 2, first.meta, gone.meta)
    assert [state("2-2"), [None] * 5] == states


@pytest.mark.parametrize(
    ("last", "ends", "settled", "end", "question", "lives_s"),
    [
        (10, 1, 1, "end", None, 0),
        (10, 2, 1, "end", b"Why?", 600),
        (10, 0, 1, "", b"Why?", 800),
        (9, 1, 0, "", None, 0),
        (20, 2, 0, "", None, 0),  # the tail was lost, which its owner does not know
    ],
)
def test_what_is_settled(
    run: Stored, last: int, ends: int, settled: int, end: str, question: bytes | None, lives_s: int
) -> None:
    """Its end, and its question as long as somebody may go on with the answer; the same when it is told again."""
    for _ in range(2):
        assert settled == run.settle(last, ends=ends, question="Why?" if ends != 1 else "")
        assert (end, question) == (run.state, run.client.get(run.question))
        assert lives_s == round(run.client.pttl(run.question) / 1000)


def test_a_question_for_which_there_is_no_room_is_not_taken_for_stored(run: Stored) -> None:
    """It is told once more when there is."""
    run.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            run.settle(10, ends=0, question="Why?")
        assert b"OOM" in run.append(("10-6", "11-1"))[0][1]
    finally:
        run.client.config_set("maxmemory", 0)
    assert 1 == run.settle(10, ends=0, question="Why?")
    assert b"Why?" == run.client.get(run.question)


def test_who_may_append(run: Stored) -> None:
    """Its owner, while nobody has taken it for dead; a run that is not there can't be appended to."""
    assert 0 == run.settle(10, node="other")
    assert 0 == run.reap("9-5")
    assert 0 == run.reap("10-6", node="other")
    assert [1, 0] == [run.reap("10-6"), run.reap("10-6")]
    assert (["4-4", "10-6", f"{END_OF_LOST}-1"], "lost") == (run.entries, run.state)
    assert [[1, *state(f"{END_OF_LOST}-1", state=b"lost")]] == run.append(("10-6", "11-1"))
    assert [0, 0] == [run.settle(10), run.settle(END_OF_LOST)]


def test_a_run_that_ended_is_not_lost(run: Stored) -> None:
    """Its end counts, whoever thinks that its owner is dead."""
    run.settle(10)
    assert 0 == run.reap("10-6")
    assert "end" == run.state


def test_a_stop_is_asked_for_once(run: Stored) -> None:
    """Also where the answer got lost and it is asked again; the owner hears of it with its next append."""
    assert [b"me", b"me", 0] == [run.ask("stop 1"), run.ask("stop 1"), run.ask("replaced 2")]
    ((_, *told),) = run.append(("10-6", "11-1"))
    assert state("10-6++", asked=b"stop 1") == told
    assert [] == run.append((told[1], "11-1"))
    run.settle(11)
    assert 0 == run.ask("stop 1")


def test_the_owner_hears_who_follows(run: Stored) -> None:
    """With its next append, before it adds anything that a follower would not be told of; it does not count as news."""
    assert [b"10", b"10", b"10"] == [run.look(node)[2] for node in ("other", "third", "other")]
    ((_, *told),) = run.append(("10-6", "11-1"))
    assert state("10-6++", follow=b" other third") == told
    run.client.eval(UNFOLLOW.source, 1, run.meta, "other")
    run.client.eval(UNFOLLOW.source, 1, run.meta, "nobody")
    ((_, *told),) = run.append((told[1], "11-1"))
    assert state("10-6+++", follow=b" third") == told
    assert 1 == run.reap("10-6")


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
    run.look("other")
    assert 1 == run.undo()
    run.create()
    run.append(("0", "1-1"))
    assert 0 == run.undo()
