"""The generator for callers without a loop, in scripts and threads, and what it tells while it works."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.globals import set_debug
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import (
    RunnableLambda,
    RunnableParallel,
)
from langchain_core.tracers.context import collect_runs
from langchain_ollama import ChatOllama
from langsmith import tracing_context

import llmstream
from llmstream.chain import StrictChatOllama
from llmstream.core.generator import prepare
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.events import Event, Started, Status, Token
from llmstream.settings import Settings
from tests.support import ROOT
from tests.support.answering import CLOSE, PROMPT, events_of, listened_to, outline
from tests.support.asked_chains import arguments, idle, own, strict

pytestmark = pytest.mark.usefixtures("ollama")

ANSWER = [("token", SENTENCE), ("finished", "stop")]


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


@pytest.mark.parametrize("thinking", [None, True, False])
async def test_default_chain_is_read_straight(ollama: DemoOllama, thinking: bool | None) -> None:
    """The default chain, and prompt and model, go the fast way; a listener or another part leads through LangChain."""
    straight = [
        await prepare("hi", model="demo-thinking", thinking=thinking),
        await prepare("hi", chain=strict("demo")),
        await prepare("hi", chain=StrictChatOllama(model="demo")),
        await prepare("hi", chain=PROMPT | StrictChatOllama(model="demo").bind(stop=["x"])),
        await prepare("hi", chain=own("demo", ollama.url)),
    ]
    around = [
        await prepare("hi", chain=strict("demo", callbacks=[BaseCallbackHandler()])),
        await prepare("hi", chain=listened_to(strict("demo"))),
        await prepare("hi", chain=listened_to(own("demo", ollama.url))),
    ]

    assert [True] * 5 == [job.fast is not None for job in straight]
    assert [True] * 3 == [job.fast is None for job in around]


@contextmanager
def debugging() -> Iterator[None]:
    """With LangChain's debug output."""
    set_debug(True)
    try:
        yield
    finally:
        set_debug(False)


@pytest.mark.parametrize(
    "listening",
    [
        get_usage_metadata_callback,
        collect_runs,
        debugging,
        lambda: tracing_context(enabled=True),
    ],
    ids=["usage", "runs", "debug", "tracing"],
)
async def test_whoever_listens_hears_the_call(ollama: DemoOllama, listening: Any) -> None:
    """Where something around the call listens, by any of LangChain's ways, the chain goes through LangChain."""
    assert (await prepare("hi", chain=strict("demo"))).fast is not None
    with listening():
        assert (await prepare("hi", chain=strict("demo"))).fast is None
    assert (await prepare("hi", chain=strict("demo", verbose=True))).fast is None

    async def within(question: str) -> bool:
        return (await prepare(question, chain=strict("demo"))).fast is None

    assert not await RunnableLambda(within).ainvoke("hi")
    assert await RunnableLambda(within).ainvoke("hi", {"callbacks": [BaseCallbackHandler()]})


@pytest.mark.parametrize(
    ("loaded", "state", "detail"), [(False, "loading", "Loading demo:slow-1.5 into memory."), (True, "waiting", "")]
)
async def test_waiting_is_told(ollama: DemoOllama, loaded: bool, state: str, detail: str) -> None:
    """Where nothing comes for a while, the person is told whether the model is being loaded or busy."""
    if loaded:
        await events_of(model="demo:slow-1.5")
    started, status, *rest = await events_of(model="demo:slow-1.5")

    assert isinstance(started, Started)
    assert isinstance(status, Status)
    assert state == status.state
    assert status.detail.startswith(detail or "Waiting for the model")
    assert ANSWER == outline(rest)


async def test_first_event_tells_the_model(ollama: DemoOllama) -> None:
    """The first event names the model, before Ollama has said a word."""
    events = llmstream.astream_events("hi", model="demo:silent")
    first = await anext(events)
    await events.aclose()

    assert isinstance(first, Started)
    assert "demo:silent" == first.model


async def test_slow_consumer_loses_nothing(ollama: DemoOllama) -> None:
    """Whoever reads slowly gets everything, in its order."""
    events: list[Event] = []
    async for event in llmstream.astream_events("hi", model="demo:tokens-500"):
        events.append(event)
        await asyncio.sleep(0)

    assert [f" {number}" for number in range(1, 501)] == [event.text for event in events if isinstance(event, Token)]


@pytest.mark.parametrize("parser", [False, True])
@pytest.mark.parametrize("asked", [{"other": "hi"}, {"question": 5, "messages": 5}])
async def test_input_that_does_not_fit_is_a_failure(ollama: DemoOllama, parser: bool, asked: dict[str, Any]) -> None:
    """A dict that lacks what the prompt wants ends in a terminal event, whichever way the chain takes."""
    prompt = ChatPromptTemplate([("placeholder", "{messages}"), ("human", "{question}")])
    chain = prompt | StrictChatOllama(model="demo")
    events = await events_of(asked, chain=chain | StrOutputParser() if parser else chain)

    assert [("failed", "chain_failed", False)] == outline(events)


async def test_models_side_by_side_have_limits_of_their_own(ollama: DemoOllama) -> None:
    """One model's end does not shorten the time that another one may take to its first token."""
    quick, slow = (ChatOllama(model=name, client_kwargs=CLOSE) for name in ("demo:one-chunk", "demo:slow-2.5"))
    chain = RunnableParallel(answer=quick | StrOutputParser(), other=slow | StrOutputParser())
    settings = Settings.load(token_timeout_s=1.5, first_token_timeout_s=20)

    assert ("finished", "stop") == outline(await events_of("hi", chain=chain, settings=settings))[-1]


def test_loops_are_not_kept(ollama: DemoOllama) -> None:
    """A loop that has ended is let go of, with its session."""

    async def ask() -> weakref.ref[asyncio.AbstractEventLoop]:
        await events_of("hi")
        return weakref.ref(asyncio.get_running_loop())

    loops = [asyncio.run(ask()) for _ in range(3)]
    gc.collect()
    assert [None, None, None] == [loop() for loop in loops]
