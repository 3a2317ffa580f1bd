"""The generator: leaving it, its sync twins, many at once, and what goes in."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.globals import set_debug
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import (
    Runnable,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.tracers.context import collect_runs
from langchain_ollama import ChatOllama
from langgraph.graph import START, MessagesState, StateGraph
from langsmith import tracing_context

import llmstream
from llmstream.chain import StrictChatOllama
from llmstream.core.generate import prepare
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.events import Event, Started, Status, Token
from llmstream.settings import Settings
from tests.support import ROOT
from tests.support.answering import CLOSE, PROMPT, events_of, listened_to, outline

ANSWER = [("token", SENTENCE), ("finished", "stop")]
Make = Callable[[str, str], Any]


@pytest.fixture(autouse=True)
def ollama(upstream: DemoOllama, monkeypatch: pytest.MonkeyPatch) -> DemoOllama:
    """The demo Ollama, which is found in the environment."""
    monkeypatch.setenv("OLLAMA_HOST", upstream.url)
    return upstream


def strict(model: str, **fields: Any) -> Runnable[Any, Any]:
    """The model that streams through the reader."""
    return PROMPT | StrictChatOllama(model=model, **fields)


def own(model: str, url: str) -> Runnable[Any, Any]:
    """A person's own model."""
    chain: Runnable[Any, Any] = PROMPT | ChatOllama(model=model, base_url=url, client_kwargs=CLOSE) | StrOutputParser()
    return chain


async def passing(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    """Passes everything on."""
    async for piece in pieces:
        yield piece


def graph(model: str, url: str) -> Any:
    """A graph of one node."""
    chat_model = StrictChatOllama(model=model)

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await chat_model.ainvoke(state["messages"])]}

    return StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile()


CHAINS: dict[str, Make] = {
    "default": lambda model, url: None,
    "model": lambda model, url: strict(model),
    "callback": lambda model, url: strict(model, callbacks=[BaseCallbackHandler()]),
    "parser": lambda model, url: strict(model) | StrOutputParser(),
    "ChatOllama": own,
    "ChatOllama-callback": lambda model, url: listened_to(own(model, url)),
    "before": lambda model, url: {"question": RunnablePassthrough()} | own(model, url),
    "assign": lambda model, url: RunnableParallel(question=RunnablePassthrough()).assign(
        answer=strict(model) | StrOutputParser()
    ),
    "assign-ChatOllama": lambda model, url: RunnableParallel(question=RunnablePassthrough()).assign(
        answer=own(model, url)
    ),
    "parallel": lambda model, url: RunnableParallel(answer=own(model, url), text=strict(model) | StrOutputParser()),
    "fallbacks": lambda model, url: (strict(model) | StrOutputParser()).with_fallbacks([own(model, url)]),
    "generator": lambda model, url: strict(model) | StrOutputParser() | RunnableGenerator(passing),
    "lambda": lambda model, url: RunnableLambda(lambda question: strict(model) | StrOutputParser()),
    "graph": graph,
}


def arguments(name: str, model: str, url: str) -> dict[str, Any]:
    """How to ask that chain."""
    chain = CHAINS[name](model, url)
    return {"model": model} if chain is None else {"chain": chain}


async def idle(ollama: DemoOllama) -> bool:
    """Whether Ollama has nothing to do within a second."""
    return await asyncio.to_thread(ollama.wait_idle, timeout_s=1)


@pytest.mark.parametrize("model", ["demo:stall-3", "demo:endless-1000"])
@pytest.mark.parametrize("name", CHAINS)
async def test_closing_stops_the_model(ollama: DemoOllama, name: str, model: str) -> None:
    """Closing the generator after any token closes every connection to Ollama, whatever the chain."""
    for count in (1, 2, 3):
        taken = 0
        async with aclosing(llmstream.astream("hi", **arguments(name, model, ollama.url))) as pieces:
            async for piece in pieces:
                taken += len(piece.split())
                if taken >= count:
                    break
        assert await idle(ollama)
    assert all(request.closed for request in ollama.requests if request.path == "/api/chat")


@pytest.mark.parametrize("model", ["demo:silent", "demo:stall-3"])
@pytest.mark.parametrize("name", CHAINS)
async def test_cancelling_stops_the_model(ollama: DemoOllama, name: str, model: str) -> None:
    """So does cancelling the task that reads, also before the first token."""
    task = asyncio.create_task(events_of(**arguments(name, model, ollama.url)))
    assert await asyncio.to_thread(ollama.wait_active)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await idle(ollama)


def careless(ask: Callable[[], Coroutine[Any, Any, Any]]) -> tuple[Runnable[Any, Any], list[asyncio.Task[Any]]]:
    """A chain that starts a task of its own and does not wait for it."""
    tasks: list[asyncio.Task[Any]] = []

    async def begin(questions: AsyncIterator[Any]) -> AsyncIterator[str]:
        tasks.append(asyncio.create_task(ask()))
        yield "Begun"
        await asyncio.Event().wait()

    return RunnableGenerator(begin), tasks


@pytest.mark.parametrize("model", [StrictChatOllama, ChatOllama])
async def test_a_branch_that_begins_after_the_end_asks_no_model(ollama: DemoOllama, model: type[ChatOllama]) -> None:
    """LangChain leaves its branches behind; one that had not begun when its run was left is ended as it begins."""
    left = asyncio.Event()
    answer = RunnableParallel(answer=model(model="demo:stall-3", base_url=ollama.url, client_kwargs=CLOSE))

    async def ask() -> None:
        await left.wait()
        async for _ in answer.astream("hi"):
            pass

    chain, tasks = careless(ask)
    async with aclosing(llmstream.astream("hi", chain=chain)) as pieces:
        assert "Begun" == await anext(pieces)
    left.set()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert await idle(ollama)


async def test_a_task_of_ones_own_goes_on_after_the_end(ollama: DemoOllama) -> None:
    """Others may wait for what it asks for."""
    left = asyncio.Event()

    async def ask() -> str:
        await left.wait()
        return str((await StrictChatOllama(model="demo:one-chunk", base_url=ollama.url).ainvoke("hi")).content)

    chain, tasks = careless(ask)
    async with aclosing(llmstream.astream("hi", chain=chain)) as pieces:
        assert "Begun" == await anext(pieces)
    left.set()
    assert SENTENCE == await tasks[0]


async def test_a_chain_that_waits_for_what_is_cancelled_has_failed() -> None:
    """Nobody cancelled the run, so it ends with `failed` like one whose chain raises."""

    async def chain(question: object) -> str:
        waits: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waits.cancel()
        return await waits

    assert [("failed", "chain_failed", False)] == outline(
        [e async for e in llmstream.astream_events("hi", chain=chain)]
    )


@pytest.mark.parametrize("name", ["default", "parser", "assign"])
async def test_dropping_stops_the_model(ollama: DemoOllama, name: str) -> None:
    """So does leaving the loop, when nobody holds the generator any longer."""
    async for _ in llmstream.astream("hi", **arguments(name, "demo:stall-3", ollama.url)):
        break

    assert await idle(ollama)


@pytest.mark.parametrize("name", ["default", "parser", "assign"])
async def test_closing_what_was_kept_stops_the_model(ollama: DemoOllama, name: str) -> None:
    """Leaving the loop while the generator is held leaves the model at work; closing the generator stops it."""
    pieces = llmstream.astream("hi", **arguments(name, "demo:stall-3", ollama.url))
    async for _ in pieces:
        break
    assert 1 == ollama.active
    await pieces.aclose()

    assert await idle(ollama)


@pytest.mark.parametrize("name", ["default", "parser", "assign"])
def test_the_end_of_the_loop_stops_the_model(ollama: DemoOllama, name: str) -> None:
    """A generator that is held beyond its event loop is closed with the loop."""
    held: list[AsyncIterator[str]] = []

    async def leave() -> None:
        held.append(llmstream.astream("hi", **arguments(name, "demo:stall-3", ollama.url)))
        async for _ in held[0]:
            break
        assert 1 == ollama.active

    asyncio.run(leave())

    assert ollama.wait_idle(timeout_s=1)


@pytest.mark.parametrize("name", ["parallel", "assign", "parser"])
async def test_failing_stops_the_models(ollama: DemoOllama, name: str) -> None:
    """Where one part of a chain fails, the models of the other parts stop, also while the error is held."""

    async def fail(value: Any) -> str:
        await asyncio.to_thread(ollama.wait_active)
        raise ValueError("no")

    async def fail_late(pieces: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for _ in pieces:
            raise ValueError("no")
        yield ""

    chain = CHAINS[name]("demo:stall-3", ollama.url)
    failing = RunnableParallel(answer=chain, other=RunnableLambda(fail)) if name == "parallel" else chain | fail_late
    with pytest.raises(llmstream.LlmstreamError) as caught:
        async for _ in llmstream.astream("hi", chain=failing):
            pass

    assert await idle(ollama)
    assert isinstance(caught.value.__cause__, ValueError)


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
    ("loaded", "state", "detail"), [(False, "loading", "Loading demo:slow-0.3 into memory."), (True, "waiting", "")]
)
async def test_waiting_is_told(
    ollama: DemoOllama, monkeypatch: pytest.MonkeyPatch, loaded: bool, state: str, detail: str
) -> None:
    """Where nothing comes for a while, the person is told whether the model is being loaded or busy."""
    monkeypatch.setattr("llmstream.core.generate.WAITING_AFTER_S", 0.05)
    if loaded:
        await events_of(model="demo:slow-0.3")
    started, status, *rest = await events_of(model="demo:slow-0.3")

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
