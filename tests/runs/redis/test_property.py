"""Whatever happens to several processes and their store, in any order: nobody is told a wrong thing, or nothing.

A few histories here, the same each time; `make soak` has many.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from llmstream.errors import KeyConflict, RunNotFound, StoreUnavailable
from llmstream.events import Cancelled, CancelledBy, Data, Event, Failed, Finished, Interrupted, Timings, Token, Usage
from tests.support.redis import RedisServer
from tests.support.store_model import Reader, Run
from tests.support.store_world import World

FEW = 25
EXAMPLES = int(os.environ.get("LLMSTREAM_TEST_STORE_EXAMPLES", FEW))
PROCESSES, RUNS = 3, 6

slots, numbers = st.integers(0, PROCESSES - 1), st.integers(0, 99)
texts = st.one_of(
    st.tuples(st.sampled_from("aü😀\ud83d\x00"), st.sampled_from([1, 1, 3_000, 20_000])).map(
        lambda pair: pair[0] * pair[1]
    ),
    st.text(st.characters(), max_size=5),
)
events = st.one_of(texts.map(Token), texts.map(lambda text: Token(text, "m", "n")), texts.map(lambda t: Data("d", [t])))
batches = st.one_of(
    st.lists(events, min_size=1, max_size=6),
    st.integers(200, 700).map(lambda count: [Token(str(number)) for number in range(count)]),
)
USED = (Usage(), Timings())
ends = st.sampled_from(
    [Finished("stop", *USED), Failed("x", "y", retryable=True), Cancelled("stop"), Interrupted([], *USED), None]
)


class Histories(RuleBasedStateMachine):
    """Processes that own, follow and stop runs, and everything that can happen to their store and to them.

    Each rule may come at any time, and does nothing where it finds nothing: what is drawn depends on no clock.
    """

    server: ClassVar[RedisServer]

    @initialize()
    def begin(self) -> None:
        self.world = World(self.server, PROCESSES)

    def _run(self, number: int, *, active: bool = False) -> Run | None:
        runs = [run for run in self.world.runs if not active or (run.lives and not run.ended)]
        return runs[number % len(runs)] if runs else None

    # --- what owners do

    @rule(slot=slots, key=st.sampled_from([None, None, "k", "l"]), fingerprint=st.sampled_from("ffg"))
    def create(self, slot: int, key: str | None, fingerprint: str) -> None:
        if len(self.world.runs) < RUNS:
            self.world.do(self.world.create(self.world.processes[slot], key, fingerprint))

    @rule(key=st.sampled_from("kl"))
    def create_at_once(self, key: str) -> None:
        async def work() -> None:
            await asyncio.gather(*(self.world.create(process, key, "f") for process in self.world.processes))

        if len(self.world.runs) < RUNS:
            self.world.do(work())

    @rule(number=numbers, some=batches)
    def append(self, number: int, some: list[Event]) -> None:
        if (run := self._run(number, active=True)) is not None:
            self.world.append(run, some)

    @rule(number=numbers, end=ends)
    def end(self, number: int, end: Event | None) -> None:
        if (run := self._run(number, active=True)) is not None:
            if end is not None:
                self.world.append(run, [end])
            self.world.do(self.world.close(run))

    @rule(slot=slots)
    def flush(self, slot: int) -> None:
        async def work() -> None:
            try:
                await asyncio.wait_for(self.world.processes[slot].log.stored(), 3)
            except TimeoutError:
                return

        self.world.do(work())

    # --- what everybody does

    @rule(slot=slots, number=numbers, part=st.floats(0, 1), beyond=st.sampled_from([0, 0, 0, 0, 3]))
    def follow(self, slot: int, number: int, part: float, beyond: int) -> None:
        if (run := self._run(number)) is not None:
            self.world.follow(Reader(run, self.world.processes[slot], int(part * len(run.events)) + beyond))

    @rule(number=numbers)
    def leave(self, number: int) -> None:
        if readers := self.world.readers:
            self.world.do(self.world.leave(readers[number % len(readers)]))

    @rule(slot=slots, number=numbers, by=st.sampled_from(["stop", "replaced"]))
    def cancel(self, slot: int, number: int, by: CancelledBy) -> None:
        if (run := self._run(number)) is not None:
            try:
                run.asked |= self.world.do(self.world.processes[slot].log.cancel(run.id, by))
            except StoreUnavailable:
                return
            except RunNotFound:
                assert run.forgotten, run

    @rule(slot=slots, key=st.sampled_from("kl"))
    def find(self, slot: int, key: str) -> None:
        try:
            found = self.world.do(self.world.processes[slot].log.find("", key, "f"))
        except (StoreUnavailable, KeyConflict):
            return
        assert found is None or found in self.world.of_key[key]

    @rule(seconds=st.sampled_from([0, 0.02, 0.2, 1, 3, 7]))
    def wait(self, seconds: float) -> None:
        self.world.do(asyncio.sleep(seconds))

    # --- what happens to them

    @rule(slot=slots, cuts=st.lists(st.sampled_from(["before", "after"]), min_size=1, max_size=4))
    def cut(self, slot: int, cuts: list[Any]) -> None:
        self.world.ways[slot].cut(*cuts)

    @rule(slot=slots, how=st.sampled_from(["deafen", "hold", "close", "slow", "mend", "mend"]))
    def change_way(self, slot: int, how: str) -> None:
        self.world.processes[slot].was_away |= how in ("hold", "close")
        getattr(self.world.ways[slot], how)()

    @rule(slot=slots)
    def seem_dead(self, slot: int) -> None:
        self.world.lapse(self.world.processes[slot])

    @rule(slot=slots)
    def kill(self, slot: int) -> None:
        self.world.do(self.world.kill(slot))

    @rule(slot=slots, number=numbers)
    def reap(self, slot: int, number: int) -> None:
        """Somebody takes a run for lost whose owner may live."""
        run, process = self._run(number), self.world.processes[slot]
        seen = None if run is None else self.server.client.hget(f"{{llmstream}}:1:r:{run.id}", "n")
        if run is not None and seen is not None and process.began:
            run.doubted = True
            try:
                run.reaped |= self.world.do(process.log.nodes.reap(run.id, run.owner.log.node, seen))
            except StoreUnavailable:
                return

    @rule()
    def remember(self) -> None:
        self.world.remember()

    @rule(cutting=st.booleans())
    def roll_back(self, cutting: bool) -> None:
        self.world.roll_back()
        if cutting:
            self.cut_all("normal")
            self.cut_all("pubsub")

    @rule()
    def flush_all(self) -> None:
        self.server.client.flushall()
        self.world.forget(*self.world.runs)

    @rule(number=numbers, part=st.sampled_from(["", ":e", ":w"]))
    def evict(self, number: int, part: str) -> None:
        """The store makes room."""
        if (run := self._run(number)) is not None:
            self.server.client.delete(f"{{llmstream}}:1:r:{run.id}{part}")
            self.world.forget(run)

    @rule(number=numbers, part=st.floats(0, 1))
    def tell_again(self, number: int, part: float) -> None:
        """A message comes once more, or too early."""
        if (run := self._run(number)) is not None:
            meta = f"{{llmstream}}:1:r:{run.id}"
            if entries := self.server.client.xrange(f"{meta}:e"):
                id_, fields = entries[int(part * (len(entries) - 1))]
                news = b"n\n%b %b %b" % (meta.encode(), id_, fields[b"e"])
                for process in self.world.processes:
                    self.server.client.publish(f"{{llmstream}}:1:n:{process.log.node}", news)

    @rule(kind=st.sampled_from(["normal", "pubsub"]))
    def cut_all(self, kind: str) -> None:
        self.server.client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    @rule()
    def forget_scripts(self) -> None:
        self.server.client.script_flush()

    # --- what is true

    @invariant()
    def nobody_is_told_a_wrong_thing(self) -> None:
        assert [] == [reader for reader in self.world.readers if reader.wrong]

    def teardown(self) -> None:
        self.world.end()


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that is rolled back and emptied."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


def test_no_history_loses_or_doubles_anything(own_server: RedisServer) -> None:
    """Each reader has a prefix of the run, each event once and in order; at rest all of it, or it was told why not."""
    Histories.server = own_server
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            derandomize=EXAMPLES == FEW,
            database=None,
            phases=[Phase.generate],  # another time the same steps may meet another moment: nothing to shrink
            suppress_health_check=list(HealthCheck),
        ),
    )
