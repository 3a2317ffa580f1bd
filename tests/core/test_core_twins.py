"""The generator for callers without a loop, in scripts and threads."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
import weakref

import pytest

import llmstream
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from tests.support import ROOT
from tests.support.answering import ANSWER, events_of, outline
from tests.support.asked_chains import arguments, idle

pytestmark = pytest.mark.usefixtures("ollama")


@pytest.mark.parametrize("name", ["default", "parser"])
def test_sync_twin(ollama: DemoOllama, name: str) -> None:
    """The sync twins give the same answer in a script."""
    asked = arguments(name, "demo:one-chunk", ollama.url)

    assert SENTENCE == "".join(llmstream.stream("hi", **asked))
    assert ANSWER == outline(list(llmstream.stream_events("hi", **asked)))


@pytest.mark.parametrize("name", ["default", "parser"])
async def test_sync_twin_in_a_running_loop(ollama: DemoOllama, name: str) -> None:
    """They do so in a notebook's cell or an async function too, where a loop runs already."""
    assert SENTENCE == "".join(llmstream.stream("hi", **arguments(name, "demo:one-chunk", ollama.url)))


@pytest.mark.parametrize("name", ["default", "parser", "assign"])
def test_closing_the_sync_twin(ollama: DemoOllama, name: str) -> None:
    """Closing a sync generator stops the model, and so does leaving its loop."""
    asked = arguments(name, "demo:stall-3", ollama.url)
    pieces = llmstream.stream("hi", **asked)
    assert next(pieces).startswith(" 1")
    pieces.close()
    assert ollama.wait_idle(timeout_s=1)
    for _ in llmstream.stream_events("hi", **asked):
        break
    assert ollama.wait_idle(timeout_s=1)


def test_sync_twin_raises(ollama: DemoOllama) -> None:
    """An answer that breaks off raises, after the pieces that came."""
    pieces = llmstream.stream("hi", model="demo:cut")
    got = []
    with pytest.raises(llmstream.LlmstreamError) as caught:
        for piece in pieces:
            got += [piece]

    assert ("The sky is blue because", "upstream_truncated") == ("".join(got), caught.value.code)


def script(text: str, ollama: DemoOllama, *flags: str) -> subprocess.Popen[str]:
    """A Python process of its own, beside this Ollama."""
    return subprocess.Popen(
        [sys.executable, *flags, "-c", text],
        env={"OLLAMA_HOST": ollama.url, "PATH": "", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process on Windows")
@pytest.mark.parametrize("model", ["demo:silent", "demo:stall-2"])
def test_interrupt(ollama: DemoOllama, model: str) -> None:
    """Ctrl-C while the sync twin waits stops the model and raises KeyboardInterrupt."""
    process = script(
        f"import llmstream\ntry:\n    list(llmstream.stream('hi', model={model!r}))\n"
        "except KeyboardInterrupt:\n    print('interrupted', flush=True)\n    input()",
        ollama,
    )
    try:
        assert ollama.wait_active(timeout_s=20)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert "interrupted\n" == process.stdout.readline()
        assert ollama.wait_idle(timeout_s=2)
    finally:
        process.kill()
        process.communicate()


SCRIPTS = {
    "stream": "import llmstream\nassert ''.join(llmstream.stream('hi', model='demo:one-chunk'))",
    "left": "import llmstream\nfor piece in llmstream.stream('hi', model='demo:stall-1'):\n    break",
    "held": "import llmstream\npieces = llmstream.stream('hi', model='demo:stall-1')\nnext(pieces)",
    "failed": (
        "import llmstream\n"
        "try:\n"
        "    list(llmstream.stream('hi', model='demo:cut'))\n"
        "except llmstream.LlmstreamError:\n"
        "    pass"
    ),
    "async": (
        "import asyncio, llmstream\n"
        "async def main():\n"
        "    async for piece in llmstream.astream('hi', model='demo:one-chunk'):\n"
        "        pass\n"
        "    async for piece in llmstream.astream('hi', model='demo:stall-1'):\n"
        "        break\n"
        "asyncio.run(main())"
    ),
    "twice": (
        "import asyncio, llmstream\n"
        "async def main():\n"
        "    return [piece async for piece in llmstream.astream('hi', model='demo:one-chunk')]\n"
        "assert asyncio.run(main()) == asyncio.run(main())"
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_leaves_nothing_open(ollama: DemoOllama, name: str) -> None:
    """A script ends without a warning of anything left open, and leaves no generation behind."""
    # Warnings while LangChain is imported are not ours.
    process = script(
        "import warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n"
        f"    import llmstream.core\n{SCRIPTS[name]}",
        ollama,
        "-Werror",
    )
    output, errors = process.communicate(timeout=100)

    assert ("", "", 0) == (output, errors, process.returncode)
    assert ollama.wait_idle(timeout_s=2)


async def test_many_at_once(ollama: DemoOllama) -> None:
    """150 answers that hang keep no other one waiting."""
    hanging = [asyncio.create_task(events_of(model="demo:stall-1")) for _ in range(150)]
    assert await asyncio.to_thread(ollama.wait_active, 150, timeout_s=20)
    answer = outline(await events_of(model="demo:one-chunk"))
    for task in hanging:
        task.cancel()
    await asyncio.wait(hanging)

    assert ANSWER == answer
    assert await idle(ollama)


def test_threads_at_once(ollama: DemoOllama) -> None:
    """Sync twins in several threads don't disturb each other."""
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append("".join(llmstream.stream("hi", model="demo:tokens-200"))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ["".join(f" {number}" for number in range(1, 201))] * 8 == answers


def test_loops_are_not_kept(ollama: DemoOllama) -> None:
    """A loop that has ended is let go of, with its session."""

    async def ask() -> weakref.ref[asyncio.AbstractEventLoop]:
        await events_of("hi")
        return weakref.ref(asyncio.get_running_loop())

    loops = [asyncio.run(ask()) for _ in range(3)]
    gc.collect()
    assert [None, None, None] == [loop() for loop in loops]
