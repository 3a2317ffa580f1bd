"""The turns of the Gradio chat, without a browser."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from langgraph.graph import MessagesState

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import NEWLINES, SENTENCE
from llmstream.events import (
    Cancelled,
    Failed,
)
from llmstream.fastapi import create_app
from llmstream.gradio import create_chat, mount_chat
from llmstream.gradio.active_answers import PERIOD_S, Turns
from llmstream.gradio.messages import CONTINUE, Cut, chosen_option, conversation, message, run_to_follow, text_of
from llmstream.gradio.view import ChatView
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from tests.support.gradio_turns import launched
from tests.support.graphs import line, node_that_says
from tests.support.serving import Served, answer, get, native_events, post

# Gradio makes an event loop wherever none runs, and leaves it to the garbage collector, which complains.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
PAGE = ("", "page")


@pytest.fixture
def turns(settings: Settings) -> Turns:
    """Turns over runs of their own."""
    return Turns(Runs(settings))


async def ask(turns: Turns, asked: dict[str, Any]) -> ChatView:
    """The last view of an answer."""
    async with aclosing(turns.answer(PAGE, asked)) as views:
        return [view async for view in views][-1]


def fields(model: str, question: str = "Why?") -> dict[str, Any]:
    """What a page asks with."""
    return {"messages": [{"role": "user", "content": question}], "model": model}


async def idle(upstream: DemoOllama) -> bool:
    """Whether the upstream is left within a second."""
    return await asyncio.to_thread(upstream.wait_idle, timeout_s=1)


async def test_answer_is_the_models_text(turns: Turns) -> None:
    """The text is the model's, code point by code point."""
    assert NEWLINES == (await ask(turns, fields("demo:newlines"))).text


async def test_a_cut_answer_goes_on(turns: Turns) -> None:
    """The conversation keeps its question, whose answer is the run that goes on; or it is told why there is none."""
    view = await ask(turns, fields("demo:length"))
    shown = [message("user", "Why?"), *view.messages()]
    assert [CONTINUE] == [option["value"] for option in shown[-1]["options"]]
    event = SimpleNamespace(value=CONTINUE)
    cut = chosen_option(event, shown)[0]
    assert isinstance(cut, Cut)
    (question,) = await turns.continued(PAGE, cut)
    async with aclosing(turns.follow(PAGE, str(run_to_follow(question)), is_own=True)) as views:
        whole = [each async for each in views][-1]
    assert ("Why?", True) == (text_of(question), whole.text.startswith(view.text))
    assert len(view.text) < len(whole.text)
    assert "continued" in whole.line

    complete = await ask(turns, fields("demo:one-chunk"))
    assert complete.messages()[-1]["options"] is None
    cut = chosen_option(event, [question, *complete.messages()])[0]
    assert isinstance(cut, Cut)
    told = await turns.continued(PAGE, cut)
    assert SENTENCE == text_of(told[-2])
    assert "complete" in text_of(told[-1])
    assert SENTENCE == conversation(told)[-1]["content"]


async def test_updates_are_few(turns: Turns) -> None:
    """A fast answer is shown at most twenty times a second, and whole at its end."""
    count, began, text = 0, time.monotonic(), ""
    async with aclosing(turns.answer(PAGE, fields("demo:tokens-20000"))) as views:
        async for view in views:
            count, text = count + 1, view.text
    assert "".join(f" {n}" for n in range(1, 20001)) == text
    assert count <= (time.monotonic() - began) / PERIOD_S + 5


async def test_stop_before_the_first_token(turns: Turns, upstream: DemoOllama) -> None:
    """Stop ends an answer that has not begun, and the upstream is free."""
    shown: list[ChatView] = []
    async with aclosing(turns.answer(PAGE, fields("demo:silent"))) as views:
        async for view in views:
            shown.append(view)
            if upstream.active:
                await turns.stop(PAGE)
    assert Cancelled("stop") == shown[-1].ended
    assert await idle(upstream)


async def test_stop_in_the_middle_keeps_the_text(turns: Turns, upstream: DemoOllama) -> None:
    """Stop ends an answer under way, keeps what came and frees the upstream."""
    view = ChatView()
    async with aclosing(turns.answer(PAGE, fields("demo:stall-3"))) as views:
        async for view in views:
            if view.text == " 1 2 3":
                await turns.stop(PAGE)
    assert (" 1 2 3", Cancelled("stop")) == (view.text, view.ended)
    assert await idle(upstream)


@pytest.mark.parametrize("model", ["demo:silent", "demo:stall-3"])
async def test_closed_page_frees_the_model(turns: Turns, upstream: DemoOllama, model: str) -> None:
    """A page that is gone closes its generator, and the upstream is free, also before the first token."""
    async with aclosing(turns.answer(PAGE, fields(model))) as views:
        async for _ in views:
            if upstream.active:
                break
    assert await idle(upstream)


async def test_silent_answer_is_shown_twice_a_second(turns: Turns) -> None:
    """While nothing comes, something is shown again and again: only so is it noticed that a page is gone."""
    times: list[float] = []
    async with aclosing(turns.answer(PAGE, fields("demo:silent"))) as views:
        async for _ in views:
            times.append(time.monotonic())
            if len(times) == 5:
                break
    assert times[-1] - times[-2] < 2


async def test_next_question_replaces_the_answer(turns: Turns, upstream: DemoOllama) -> None:
    """A page waits for one answer at a time: the next question stops the one before, which shows nothing more."""
    first = turns.answer(PAGE, fields("demo:stall-3"))
    async for view in first:
        if view.text:
            break
    second = await ask(turns, fields("demo:no-reason"))
    left = [view async for view in first]
    assert (SENTENCE, []) == (second.text, left)
    assert await idle(upstream)


async def test_pages_do_not_disturb_each_other(turns: Turns, upstream: DemoOllama) -> None:
    """A stop ends the page's own answer only."""
    other = asyncio.ensure_future(ask(turns, fields("demo:slow-1")))
    async with aclosing(turns.answer(("", "other page"), fields("demo:stall-3"))) as views:
        async for _ in views:
            await turns.stop(("", "other page"))
    assert SENTENCE == (await other).text


@pytest.mark.parametrize(
    ("changes", "asked", "code"),
    [
        ({}, fields("demo:error-line"), "upstream_error"),
        ({}, fields("demo:none"), "model_not_found"),
        ({}, fields("x-cloud"), "model_not_allowed"),
        ({}, fields("demo", "x" * 70_000), "body_too_large"),
        ({}, {"messages": "nonsense"}, "invalid_request"),
        ({}, {**fields("demo"), "options": {"num_gpu": 1}}, "invalid_request"),
        ({"ollama_url": "http://127.0.0.1:9"}, fields("demo"), "upstream_unreachable"),
    ],
)
async def test_error_is_a_message(settings: Settings, changes: Any, asked: dict[str, Any], code: str) -> None:
    """Whatever is wrong becomes a message of the answer; nothing is raised."""
    view = await ask(Turns(Runs(settings.change(**changes))), asked)
    assert isinstance(view.ended, Failed)
    assert code == view.ended.code


async def test_place_in_the_queue_is_shown(settings: Settings, upstream: DemoOllama) -> None:
    """With all places taken, the page shows its own in the queue."""
    turns = Turns(Runs(settings.change(max_active_runs=1)))
    first = turns.answer(("", "first"), fields("demo:stall-1"))
    async for view in first:
        if view.text:
            break
    titles: list[str] = []
    async for view in turns.answer(PAGE, fields("demo:no-reason")):
        titles += [(each["metadata"] or {}).get("title", "") for each in view.messages()]
        if "number 1" in titles[-1]:
            await first.aclose()
    assert SENTENCE == view.text
    assert any("Waiting in line, number 1" in title for title in titles)


async def test_any_chain_answers(settings: Settings) -> None:
    """A chain of one's own answers, told the whole conversation."""

    async def chain(messages: list[Any]) -> Any:
        yield " ".join(["I", "answer"])

    view = await ask(Turns(Runs(settings), chain), {"messages": fields("x")["messages"]})
    assert "I answer" == view.text


async def test_nodes_that_answer(settings: Settings) -> None:
    """Of a graph's nodes those answer that the page was told of."""
    graph = line(MessagesState, node_that_says("The answer.", "writer"), node_that_says("A farewell.", "host"))
    turns = Turns(Runs(settings), graph, answer_nodes=["writer"])
    assert "The answer." == (await ask(turns, {"messages": fields("x")["messages"]})).text


def test_panel_is_for_the_default_chain(settings: Settings) -> None:
    """A chain of one's own has no model to choose and no settings."""
    plain = create_chat(lambda text: text, settings=settings)
    classes = {name for block in plain.blocks.values() for name in block.elem_classes or ()}
    assert not {"llmstream-model", "llmstream-panel"} & classes
    assert {"llmstream-box", "llmstream-chat"} <= classes


def test_a_page_that_goes_before_it_reads(settings: Settings, upstream: DemoOllama) -> None:
    """A page that has asked, and is gone before it opens the stream of its events, frees the model too."""
    with launched(settings.change(send_timeout_s=0.1)) as url:
        functions = get(f"{url}/config").json()["dependencies"]
        answering = next(each for each in functions if len(each["inputs"]) == 5)
        data = [[message("user", "Why?")], "demo:endless-30", "", "", False]
        asked = {"data": data, "fn_index": answering["id"], "session_hash": "gone"}
        assert 200 == httpx.post(f"{url}/gradio_api/queue/join", json=asked).status_code
        assert upstream.wait_active()
        assert upstream.wait_idle()


def test_mounted_page_shares_the_runs(
    serve: Callable[[FastAPI], Served], settings: Settings, upstream: DemoOllama
) -> None:
    """A run that was started by the page can be read over HTTP: the same text, one generation."""
    runs = Runs(settings)
    app = create_app(settings, runs=runs)
    turns: list[ChatView] = []

    async def through_page() -> dict[str, str]:
        turns.append(await ask(Turns(runs), fields("demo:newlines")))
        return {"run": turns[0].run_id}

    app.post("/through-page")(through_page)
    mount_chat(app, create_chat(runs=runs), "/chat")
    url = serve(app).url
    run_id = post(f"{url}/through-page").json()["run"]
    assert 1 == sum(request.path == "/api/chat" for request in upstream.requests)
    assert NEWLINES == turns[0].text == answer(native_events(get(f"{url}/runs/{run_id}/events").content))
    assert 200 == get(f"{url}/chat/").status_code
    assert 421 == get(f"{url}/chat/", headers={"host": "evil.example"}).status_code
