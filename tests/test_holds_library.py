"""No call of the library waits for ever, wherever it is made."""

from __future__ import annotations

import os
from textwrap import dedent

import pytest

from tests.support.holding import said

CHAINS = """
import asyncio, logging, os, sys, threading
import llmstream
logging.getLogger("llmstream").addHandler(logging.NullHandler())
QUESTION = "How do I mount llmstream in my FastAPI app?"
def asked(chain=None): return "".join(llmstream.stream("What is a run?", chain=chain))
"""


def test_stream_in_an_async_chain_that_runs_under_stream() -> None:
    """It would wait for itself, so it raises an error that names `astream`; the next call is answered."""
    script = """
    async def chain(question): return asked()
    with llmstream.demo(tokens_per_s=None):
        try: asked(chain)
        except llmstream.LlmstreamError as error: print(error.code, "astream" in str(error.__cause__))
        print(len(asked()) > 100)
    """
    assert ["chain_failed True", "True"] == said(CHAINS + dedent(script))


def test_streams_left_in_reference_cycles() -> None:
    """Python's collector closes them in whatever thread it runs, the library's own too; the process goes on."""
    script = """
    class Box: pass
    with llmstream.demo(tokens_per_s=2000) as server:
        for number in range(200):
            box = Box(); box.itself = box; box.stream = llmstream.stream(QUESTION); next(box.stream); del box
        import gc; gc.collect()
        print(len(asked()) > 100, server.wait_idle())
    """
    assert ["True True"] == said(CHAINS + dedent(script))


def test_sync_chains_that_ask_again() -> None:
    """More sync steps than the default pool has threads, each of which asks through another sync step, all end."""
    script = """
    def chain(question): return asked(lambda inner: asked())
    def generator(question): yield asked(lambda inner: asked())
    answers = []
    with llmstream.demo(tokens_per_s=None):
        threads = [threading.Thread(target=lambda: answers.append(asked(each))) for each in [chain, generator] * 30]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(answers == [asked()] * 60)
    """
    assert ["True"] == said(CHAINS + dedent(script))


def test_slow_sync_chains_in_an_app() -> None:
    """While sync chains hold all threads of an event loop, questions about models are answered."""
    script = """
    async def main(url):
        release = threading.Event()
        runs = llmstream.Runs(llmstream.Settings(ollama_url=url, max_active_runs=100))
        for number in range(40):
            await runs.start("x", chain=lambda question: release.wait() and "done")
        run = await runs.start("What is a run?")
        print([type(event).__name__ async for event in run.follow()][-1])
        release.set()
        await runs.drain(10)
    logging.disable()
    with llmstream.demo(tokens_per_s=None) as server:
        asyncio.run(main(server.url))
    """
    assert ["Finished"] == said(CHAINS + dedent(script))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on Windows")
def test_fork_while_a_stream_is_open() -> None:
    """The child streams by itself, is told that its parent's stream is not its own, and exits; the parent goes on."""
    script = """
    import warnings; warnings.simplefilter("ignore", DeprecationWarning)
    with llmstream.demo(tokens_per_s=200):
        opened = llmstream.stream(QUESTION); first = next(opened)
        if (child := os.fork()) == 0:
            print(len(asked()) > 100, flush=True)
            try: print(*opened, sep="", end="", file=open(os.devnull, "w"))
            except RuntimeError as error: print("after the fork" in str(error), flush=True)
            sys.exit(3)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len("".join(opened)) > 100)
    """
    assert ["True", "True", "3 True"] == said(CHAINS + dedent(script))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are counted by /proc")
def test_loops_that_are_just_closed() -> None:
    """An event loop that is closed without a word to its generators keeps no connection."""
    script = """
    async def answer(): return "".join([text async for text in llmstream.astream("What is a run?")])
    with llmstream.demo(tokens_per_s=None):
        open_files = []
        for number in range(60):
            loop = asyncio.new_event_loop(); loop.run_until_complete(answer()); loop.close()
            open_files.append(len(os.listdir("/proc/self/fd")))
        print(max(open_files[10:]) - open_files[10])
    """
    (grown,) = said(CHAINS + dedent(script))
    assert int(grown) <= 4


def test_markdown_of_a_model_that_repeats_itself() -> None:
    """What may begin a formula, an image or an address, and never ends, is shown after a moment."""
    script = r"""
    from llmstream.view.markdown import inert_markdown
    for piece in ("\\(", "\\", "!", "![", "\\begin{a}", "http://", "$a ", "`"):
        inert_markdown(piece * (100_000 // len(piece)))
    print("shown")
    """
    assert ["shown"] == said(dedent(script))
