"""What is known of chains: looked up in the threads of several event loops at once, and kept as long as the chain."""

import gc
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langgraph.graph import MessagesState

from llmstream.core.chains.chain_cache import ByChain
from tests.support.graphs import line, node_that_says
from tests.support.scripted_model import says, see


@pytest.mark.parametrize(
    "make",
    [
        lambda: says("x").bind(options={"secret": 1}),
        lambda: RunnableLambda(lambda question: "x") | says("x"),
        lambda: line(MessagesState, node_that_says("x")),
        lambda: line(MessagesState, node_that_says("x")).with_config(tags=["secret"]),
    ],
    ids=["binding", "sequence", "graph", "bound graph"],
)
async def test_a_chain_goes_with_all_that_is_known_of_it(make: Callable[[], Any]) -> None:
    """A chain that was made for one request is kept no longer than that."""
    chain = make()
    assert "x" == (await see(chain)).text
    gone = weakref.ref(chain)
    del chain
    gc.collect()
    assert gone() is None


def test_chains_in_use_are_not_forgotten() -> None:
    """What is found of many other chains takes the place of what was asked for least lately."""
    found: list[object] = []
    known = ByChain(found.append)
    chains: list[Any] = [RunnablePassthrough() for _ in range(200)]
    for chain in chains:
        known.get(chains[0])
        known.get(chain)
    assert len(chains) == len(found)


def test_chains_are_looked_up_in_several_threads_at_once() -> None:
    known = ByChain(lambda chain: chain)
    failures: list[Exception] = []

    def look_up() -> None:
        try:
            for _ in range(2000):
                chain: RunnablePassthrough[object] = RunnablePassthrough()
                assert known.get(chain) is chain
        except Exception as error:
            failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=look_up) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failures
