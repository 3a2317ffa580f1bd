"""What is known of chains is looked up in the threads of several event loops at once."""

import sys
import threading

from langchain_core.runnables import RunnablePassthrough

from llmstream.core.inspection import ByChain


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
