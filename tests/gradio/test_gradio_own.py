"""What the author of a Gradio chat adds: values of the request, inputs, thumbs, an endpoint, a chat that comes back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import gradio
import httpx
import pytest
from fastapi import FastAPI, HTTPException
from gradio_client import Client  # type: ignore[import-untyped]
from gradio_client.exceptions import AppError  # type: ignore[import-untyped]
from starlette.requests import HTTPConnection

from llmstream.demo_ollama import DemoOllama, Pause
from llmstream.errors import SettingsError
from llmstream.events import Failed, Interrupted, Token
from llmstream.gradio import Like, create_chat, mount_chat
from llmstream.gradio.active_answers import Turns
from llmstream.gradio.likes import feedback, like_of, with_word
from llmstream.gradio.messages import Cut, message, settled
from llmstream.gradio.saved import Saving, read_kept
from llmstream.gradio.view import ChatView
from llmstream.http.ask import Ask
from llmstream.http.prepare import Prepared
from llmstream.runs.end_hook import EndedRun
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from tests.support.asking_graphs import year_graph
from tests.support.faultkit import eventually
from tests.support.gradio_pages import call_page, text_message
from tests.support.serving import Served

# Gradio makes an event loop wherever none runs, and leaves it to the garbage collector, which complains.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


async def answer(question: str, user: str, language: str) -> AsyncGenerator[str, None]:
    """A chain that says what it was given."""
    yield f"{user} asks in {language}: {question}"


def prepare(request: HTTPConnection, asked: Ask) -> Prepared:
    """The values for `answer`, from the request and from what the page asks for."""
    user = request.user.username if "user" in request.scope else request.headers.get("x-user")
    return {"inputs": {"user": user, "language": asked.inputs["Language"]}}


def language() -> Any:
    """An additional input."""
    return gradio.Dropdown(["en", "de"], label="Language", render=False)


def said(done: dict[str, Any]) -> str:
    """The text of the last message that a page shows."""
    return str(done["output"]["data"][0][-1]["content"][0]["text"])


@contextmanager
def launched(chat: Any, **options: Any) -> Iterator[str]:
    """The address of a chat page of its own."""
    chat.launch(prevent_thread_lock=True, quiet=True, **options)
    try:
        yield str(chat.local_url).rstrip("/")
    finally:
        chat.close(verbose=False)


def test_prepare_knows_the_request_and_the_inputs(serve: Callable[[FastAPI], Served], settings: Settings) -> None:
    """The chain is given what `prepare` makes of the request, and of the additional inputs, as Gradio reads them."""
    app = FastAPI()
    app.state.runs = Runs(settings)
    chat = create_chat(answer, settings=settings, prepare=prepare, additional_inputs=language())
    mount_chat(app, chat, "/chat")
    url = serve(app).url + "/chat"
    done = call_page(url, "answer", [[text_message("Why?")], "de"], headers={"x-user": "ann"})
    assert "ann asks in de: Why?" == said(done)
    refused = call_page(url, "answer", [[text_message("Why?")], "fr"], headers={"x-user": "ann"}, session="other")
    assert not refused["success"]  # no choice of the dropdown


async def test_what_prepare_refuses_is_shown(settings: Settings) -> None:
    """In the app's own words, below a question and where a cut answer is to go on."""

    def refuse(request: HTTPConnection, asked: Ask) -> Prepared:
        raise HTTPException(402, "Your month is used up.")

    turns, request = Turns(Runs(settings), answer, prepare=refuse), HTTPConnection({"type": "http", "headers": []})
    async with aclosing(
        turns.answer(("", "page"), {"messages": [{"role": "user", "content": "Why?"}]}, request)
    ) as views:
        last = [view async for view in views][-1]
    assert isinstance(last.ended, Failed)
    assert "Your month is used up." == last.ended.message
    told = await turns.continued(("", "page"), Cut("x", [], []), request)
    assert "Your month is used up." == told[-1]["content"][0]["text"]


def test_prepare_knows_whom_gradio_let_in(settings: Settings) -> None:
    """Whom Gradio's own `auth` let in is the request's user, and the run is theirs."""
    ended: list[EndedRun] = []
    runs = Runs(settings, on_end=ended.append)
    chat = create_chat(answer, runs=runs, prepare=prepare, additional_inputs=[language()])
    with launched(chat, auth=("ann", "secret")) as url:
        login = httpx.post(f"{url}/login", data={"username": "ann", "password": "secret"})
        cookie = "; ".join(f"{name}={value}" for name, value in login.cookies.items())
        done = call_page(url, "answer", [[text_message("Why?")], "en"], headers={"cookie": cookie})
        assert "ann asks in en: Why?" == said(done)
        eventually(lambda: bool(ended))
    assert ["ann"] == [run.caller for run in ended]


@pytest.mark.parametrize(
    ("chain", "options", "says"),
    [
        (answer, {"additional_inputs": "textbox"}, "prepare"),
        (answer, {"prepare": prepare, "additional_inputs": ["textbox"]}, "label"),
        (None, {"prepare": prepare}, "a chain of your own"),
    ],
)
def test_what_does_not_go_together(chain: Any, options: dict[str, Any], says: str, settings: Settings) -> None:
    """Inputs that reach nobody, or have no name, are refused when the page is made."""
    with pytest.raises(SettingsError, match=says):
        create_chat(chain, settings=settings, **options)


def test_endpoint_for_programs(settings: Settings, upstream: DemoOllama) -> None:
    """With a name there is one endpoint: it streams the text, knows what a client said before, and tells its errors."""
    upstream.answers |= {"Why?": "Because of that.", "And?": "That is all."}
    chat = create_chat(settings=settings.change(model="demo:latest"), api_name="chat")
    with launched(chat) as url:
        client = Client(url, verbose=False)
        assert "Because of that." == client.predict("Why?", api_name="/chat")
        assert "That is all." == client.predict("And?", api_name="/chat")
        assert ["/chat"] == list(client.view_api(return_format="dict", print_info=False)["named_endpoints"])
        sent = [request.body["messages"] for request in upstream.requests if request.path == "/api/chat"][-1]
        assert ["Why?", "Because of that.", "And?"] == [each["content"] for each in sent]
        with pytest.raises(AppError, match="65536"):
            client.predict("x" * 70_000, api_name="/chat")
        client.close()


def test_endpoint_tells_that_an_answer_is_not_whole(settings: Settings, upstream: DemoOllama) -> None:
    """Whose client asks something else meanwhile gets an error, and not the part that came."""
    upstream.answers |= {"Why?": ["Because of ", Pause(600)], "And?": "That is all."}
    with launched(create_chat(settings=settings.change(model="demo:latest"), api_name="chat")) as url:
        client = Client(url, verbose=False)
        first = client.submit("Why?", api_name="/chat")
        assert upstream.wait_active(1)
        assert "That is all." == client.predict("And?", api_name="/chat")
        with pytest.raises(AppError, match="replaced by a newer question"):
            first.result(timeout=30)
        client.close()


def click(index: int | list[int], liked: object) -> object:
    """A click on a thumb, as Gradio tells it."""
    return type("LikeData", (), {"index": index, "liked": liked})


def test_a_thumb_says_which_answer() -> None:
    """A click tells the run, the question and the answer; one that is taken back is neither."""
    shown = [
        message("user", "Why?"),
        message("assistant", "Hm.", {"title": "Thinking", "status": "done"}),
        message("assistant", "Because.", {"id": "run1/m2"}),
    ]
    assert Like("run1", "ann", True, "Why?", "Because.") == like_of(click(2, liked=True), shown, "ann")
    assert Like("run1", "", None, "Why?", "Because.") == like_of(click([2, 0], liked=""), shown, "")
    assert like_of(click(9, liked=True), shown, "") is None


def test_a_thumb_stays_with_its_answer() -> None:
    """The thumbs stand under an answer's last message, and are one word on all of it, whatever is said after it."""
    shown = [
        message("user", "Why?"),
        message("assistant", "Because ", {"id": "run1"}),
        message("assistant", "", {"title": "Weather", "status": "done"}),
        message("assistant", "it rains.", {"id": "run1"}),
        message("assistant", "The answer was stopped here.", {"title": "Stopped"}),
        message("user", "And now?"),
        message("assistant", "", {"title": "No answer", "id": "run2"}),
    ]
    like, dislike = like_of(click(4, liked=True), shown, ""), like_of(click(6, liked=False), shown, "")
    assert like == Like("run1", "", True, "Why?", "Because it rains.")
    assert dislike is not None
    words = with_word(with_word({"gone": "Like"}, like, shown), dislike, shown)
    assert {"run1": "Like", "run2": "Dislike"} == words
    assert ["Like", "Like", "Like", "Like", "Dislike"] == feedback(shown, words)
    asked_again = [*shown[:6], message("assistant", "It does.", {"id": "run3"})]
    assert ["Like", "Like", "Like", "Like", None] == feedback(asked_again, words)
    taken_back = like_of(click(4, liked=""), shown, "")
    assert taken_back is not None
    assert {"run2": "Dislike"} == with_word(words, taken_back, shown)
    assert [None] * 5 == feedback(shown, "what somebody else wrote")


async def begun(turns: Turns, session: tuple[str, str], **fields: Any) -> ChatView:
    """The view of an answer of which the text has come so far; the page is then gone."""
    async with aclosing(turns.answer(session, fields)) as views:
        async for view in views:
            if view.text == " 1 2 3":
                return view
    raise AssertionError("the answer ended")


async def test_a_page_comes_back_to_its_answer(settings: Settings, upstream: DemoOllama) -> None:
    """Another page of the same caller follows a run that goes on, from its beginning, and can stop it."""
    turns = Turns(Runs(settings), come_back=True)
    asked = [{"role": "user", "content": "Why?"}]
    view = await begun(turns, ("ann", "page 1"), messages=asked, model="demo:stall-3")
    assert 1 == upstream.active
    async with aclosing(turns.follow(("ann", "page 2"), view.run_id)) as views:
        async for view in views:
            if view.text == " 1 2 3":
                await turns.stop(("ann", "page 2"))
    assert (" 1 2 3", "Cancelled") == (view.text, type(view.ended).__name__)
    *_, other = [each async for each in turns.follow(("bob", "page 3"), view.run_id)]
    assert isinstance(other.ended, Failed)
    assert "run_not_found" == other.ended.code


async def test_a_question_of_the_chain_comes_back(settings: Settings) -> None:
    """A page that comes back on its thread can answer what the chain has asked."""
    turns = Turns(Runs(settings), year_graph(), come_back=True)
    fields = {"messages": [{"role": "user", "content": "When?"}]}
    *_, view = [each async for each in turns.answer(("", "page 1"), fields)]
    assert isinstance(view.ended, Interrupted)
    turns.restore(("", "page 2"), turns.thread(("", "page 1")))
    *_, view = [each async for each in turns.follow(("", "page 2"), view.run_id)]
    assert turns.asked(("", "page 2"))
    *_, view = [each async for each in turns.answer(("", "page 2"), {**fields, "answer": "1990"})]
    assert "In 1990 it was." == view.text


def test_the_browser_keeps_what_is_the_callers() -> None:
    """What is kept is its caller's alone; what can't be read is nothing; a part of an answer is kept with its run."""
    saving = Saving("ann", "thread")
    view = ChatView(run_id="run1")
    asked = [message("user", "Why?")]
    kept = read_kept(saving.due(asked, view), "ann")
    assert (asked, "run1", "thread") == (kept.messages.model_dump(), kept.run, kept.thread)
    assert [] == settled(kept.partial.model_dump())
    view.put([Failed("upstream_error", "It broke.", False)])
    ended = read_kept(saving.due(asked, view), "ann")
    assert ("", 2) == (ended.run, len(ended.messages.root))
    for value, caller in ((saving.of(asked), "bob"), ({"messages": 1}, ""), ("x", ""), (None, "")):
        assert [] == read_kept(value, caller).messages.root
    long = [message("user", "x" * 900_000) for _ in range(4)]
    assert 2 == len(read_kept(saving.of(long), "ann").messages.root)


@pytest.mark.parametrize(("goes_on", "offered"), [(True, ["Continue"]), (False, [])])
def test_continue_is_offered_where_the_chain_can(goes_on: bool, offered: list[str]) -> None:
    """A function can't go on with an answer that was cut."""
    view = ChatView(goes_on=goes_on)
    view.put([Token("One, two"), Failed("upstream_truncated", "Cut.", retryable=True)])
    assert offered == [each["value"] for each in view.messages()[-1]["options"] or ()]


def test_example_questions_are_of_the_default_chain(settings: Settings) -> None:
    """A chain of one's own has those that it is given."""
    shown = [create_chat(chain, settings=settings) for chain in (None, answer)]
    shown.append(create_chat(answer, settings=settings, examples=["Who?"]))
    chats = [next(each for each in chat.blocks.values() if isinstance(each, gradio.Chatbot)) for chat in shown]
    assert [3, 0, 1] == [len(chat.examples or ()) for chat in chats]
