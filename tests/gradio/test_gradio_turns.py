"""The Gradio chat without a browser: turns, and the doors of its pages."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from types import SimpleNamespace
from typing import Any

import gradio
import httpx
import pytest
from fastapi import FastAPI
from langgraph.graph import MessagesState

from llmstream.cli.lazy_gradio import LazyChat
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import NEWLINES, SENTENCE
from llmstream.errors import SettingsError
from llmstream.events import (
    Cancelled,
    Failed,
)
from llmstream.fastapi import create_app, create_router
from llmstream.gradio import create_chat, mount_chat
from llmstream.gradio.active_answers import PERIOD_S, Turns
from llmstream.gradio.messages import CONTINUE, Cut, chosen_option, conversation, message, run_to_follow, text_of
from llmstream.gradio.view import ChatView
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from tests.support.gradio_pages import call_page
from tests.support.graphs import line, node_that_says
from tests.support.npm import NOBODY
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


@contextmanager
def launched(settings: Settings, **options: Any) -> Iterator[str]:
    """The address of a chat page of its own."""
    chat = create_chat(settings=settings, multimodal=False)
    chat.launch(prevent_thread_lock=True, quiet=True, **options)
    try:
        yield str(chat.local_url).rstrip("/")
    finally:
        chat.close(verbose=False)


def test_doors_of_a_launched_page(settings: Settings) -> None:
    """Only our own host and origin come in, nothing is uploaded, no file is given out, nothing comes from elsewhere."""
    with launched(settings) as url:
        assert 200 == get(f"{url}/").status_code
        assert 421 == get(f"{url}/", headers={"host": "evil.example"}).status_code
        assert 421 == get(f"{url}/config", headers={"host": "[::1].evil.example"}).status_code
        assert 403 == post(f"{url}/gradio_api/queue/join", {}, headers={"origin": "https://evil.example"}).status_code
        assert 403 == post(f"{url}/gradio_api/upload", files={"files": b"x"}).status_code
        for path in ("/etc/passwd", "../../etc/passwd", "https://evil.example/x.png"):
            assert 400 <= get(f"{url}/gradio_api/file={path}").status_code < 500
        assert "default-src 'self'" in get(f"{url}/").headers["content-security-policy"]


def test_token_opens_a_launched_page(settings: Settings) -> None:
    """With a token the page starts, and opens for those who have it."""
    with launched(settings.change(token="secret")) as url:
        assert (401, 200) == (get(f"{url}/").status_code, get(f"{url}/?token=secret").status_code)


def test_network_needs_a_token(settings: Settings) -> None:
    """The page does not listen to the network without a token."""
    with pytest.raises(SettingsError):
        create_chat(settings=settings).launch(server_name="0.0.0.0", prevent_thread_lock=True)


def test_page_tells_strangers_no_addresses(serve: Callable[[FastAPI], Served]) -> None:
    """What is wrong with the Ollama is said plainly to people who can't mend it, with nothing of the server's."""
    app, names = FastAPI(), ("chat.example.com", "127.0.0.1")
    app.state.runs = Runs(Settings(ollama_url=NOBODY, demo="never", allowed_hosts=names))
    mount_chat(app, create_chat(runs=app.state.runs))
    there = {"host": "chat.example.com"}
    notice = call_page(f"{serve(app).url}/gradio", "_look", [None], headers=there)["output"]["data"][1]
    assert "The model can't be reached. Ask again later." == notice["value"]


def test_page_offers_programs_nothing(settings: Settings) -> None:
    """No handler of the page is part of Gradio's own API, and nothing is recorded."""
    chat = create_chat(settings=settings)
    assert {"private"} == {fn.api_visibility for fn in chat.fns.values()}
    with launched(settings) as url:
        info = get(f"{url}/gradio_api/info").json()
        config = get(f"{url}/config").json()
    assert {"named_endpoints": {}, "unnamed_endpoints": {}} == info
    assert (False, False) == (chat.analytics_enabled, config.get("run_history", False))


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


def test_operators_system_prompt_is_not_sent_to_the_page(settings: Settings) -> None:
    """A system prompt of the server's own is nowhere in the page."""
    with launched(settings.change(system_prompt="Sesame.")) as url:
        assert "Sesame" not in get(f"{url}/").text + get(f"{url}/config").text


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


def test_mounted_blocks_of_ones_own(serve: Callable[[FastAPI], Served], settings: Settings) -> None:
    """Somebody's own Blocks with a chat in them are mounted behind the same doors; without one they are refused."""
    with gradio.Blocks() as demo:
        create_chat(settings=settings)
    app = FastAPI()
    app.state.runs = Runs(settings)
    mount_chat(app, demo, "/own")
    url = serve(app).url
    assert "default-src 'self'" in get(f"{url}/own/").headers["content-security-policy"]
    assert 421 == get(f"{url}/own/", headers={"host": "evil.example"}).status_code
    with pytest.raises(ValueError, match="create_chat"):
        mount_chat(app, gradio.Blocks(), "/other")


def test_chat_without_doors_says_so(
    serve: Callable[[FastAPI], Served], settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Mounted in Gradio's way it has no doors, and says so at once."""
    app = FastAPI()
    app.state.runs = Runs(settings)
    gradio.mount_gradio_app(app, create_chat(settings=settings), "/open")
    serve(app)
    assert ["mount_chat" in record.getMessage() for record in caplog.records if record.name == "llmstream"] == [True]


def test_runs_of_the_page_belong_to_whom_identify_names(serve: Callable[[FastAPI], Served], settings: Settings) -> None:
    """What a person asks in the page is that person's run: another one gets a 404, a stranger a 401."""
    runs = Runs(settings)
    app = create_app(settings, runs=runs, identify=lambda request: request.headers.get("x-user"))
    mount_chat(app, create_chat(runs=runs), "/chat")
    url = serve(app).url
    ann, bob = {"x-user": "ann"}, {"x-user": "bob"}
    functions = get(f"{url}/chat/config", headers=ann).json()["dependencies"]
    question = {"role": "user", "content": [{"type": "text", "text": "Why?"}], "metadata": None, "options": None}
    asked = {
        "fn_index": next(each["id"] for each in functions if each["api_name"] == "answer"),
        "data": [[question], "demo:stall-3", "", "", False],
        "session_hash": "page",
    }
    assert 401 == post(f"{url}/chat/gradio_api/queue/join", asked).status_code
    assert 200 == post(f"{url}/chat/gradio_api/queue/join", asked, headers=ann).status_code
    session = f"{url}/chat/gradio_api/queue/data?session_hash=page"
    with httpx.stream("GET", session, headers=ann, timeout=30) as page:
        lines = page.iter_lines()  # kept: who drops it closes the connection, which leaves the run
        assert any("Waiting for demo:stall-3" in line for line in lines)
        (run_id,) = runs.active
        assert 200 == get(f"{url}/runs/{run_id}", headers=ann).status_code
        assert 404 == get(f"{url}/runs/{run_id}", headers=bob).status_code
        assert 202 == post(f"{url}/runs/{run_id}/stop", headers=ann).status_code


def test_server_without_gradio_says_how_to_get_it(
    serve: Callable[[FastAPI], Served], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `llmstream serve` can't show the page it says what to install."""
    monkeypatch.setitem(sys.modules, "gradio", None)
    app = create_app(settings)
    app.mount("/gradio", LazyChat(app.state.runs, lambda: None))
    response = get(f"{serve(app).url}/gradio/")
    assert (501, 'The Gradio chat needs Gradio. Get it with: pip install "llmstream-toolkit[gradio]"\n') == (
        response.status_code,
        response.text,
    )


def test_missing_gradio_says_how_to_get_it() -> None:
    """Without Gradio the import fails with the command that installs it."""
    code = "import sys; sys.modules['gradio'] = None\nimport llmstream.gradio"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert 'ImportError: The chat page needs Gradio: pip install "llmstream-toolkit[gradio]"' in done.stderr


def test_chat_page_on_guarded_runs(serve: Callable[[FastAPI], Served], settings: Settings) -> None:
    """A page of Gradio's on runs whose endpoints ask who somebody is asks the same."""
    runs = Runs(settings)
    app = FastAPI()
    app.state.runs = runs
    mount_chat(app, create_chat(runs=runs), "/page")
    app.include_router(create_router(runs=runs, identify=lambda request: request.headers.get("x-user")), prefix="/llm")
    url = serve(app).url
    assert 401 == get(f"{url}/page/").status_code
    assert 200 == get(f"{url}/page/", headers={"x-user": "ann"}).status_code
