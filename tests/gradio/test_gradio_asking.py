"""A graph that asks a person, in the Gradio chat: what is shown, offered, answered, and told of it later."""

from __future__ import annotations

from typing import Any

from llmstream.events import Finished, Interrupted, Token
from llmstream.gradio.active_answers import Turns
from llmstream.gradio.messages import ANSWER, conversation, last_question, message
from llmstream.gradio.view import ChatView
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from tests.support.asking_graphs import mail_graph, year_graph
from tests.support.message_runs import RUNS

PAGE = ("ann", "page-1")


async def ended(turns: Turns, **fields: Any) -> ChatView:
    """The view of an answer that has ended."""
    *_, last = [view async for view in turns.answer(PAGE, fields)]
    return last


def asked(*texts: str) -> list[dict[str, str]]:
    """A conversation that begins with the person."""
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]


async def test_an_approval_goes_on_with_the_graph(settings: Settings) -> None:
    """The buttons of the question answer it on the page's thread, and so does a typed text."""
    turns = Turns(Runs(settings), mail_graph())
    view = await ended(turns, messages=asked("Mail ann."))
    assert isinstance(view.ended, Interrupted)
    question = view.messages()[-1]
    assert "Send this mail?" in question["content"][0]["text"]
    assert ["approve", "edit", "reject"] == [option["value"] for option in question["options"]]
    assert turns.asked(PAGE)
    view = await ended(turns, messages=asked("Mail ann.", "I would send a mail."), answer="approve")
    assert isinstance(view.ended, Finished)
    assert ("The mail was sent to ann.", False) == (view.text, bool(turns.asked(PAGE)))
    said = asked("Mail ann.", "I would send a mail.")
    said += [{"role": "assistant", "content": "The mail was sent to ann."}, {"role": "user", "content": "Again."}]
    assert isinstance((await ended(turns, messages=said)).ended, Interrupted)
    assert "The mail was not now." == (await ended(turns, messages=said, answer="not now")).text


async def test_a_question_is_answered_by_its_text(settings: Settings) -> None:
    """Where no call is asked about there is nothing to click, and the text is the answer; a new chat has forgotten."""
    turns = Turns(Runs(settings), year_graph())
    view = await ended(turns, messages=asked("When?"))
    assert ("Which year?", None) == (view.messages()[-1]["content"][0]["text"], view.messages()[-1]["options"])
    assert "In 1990 it was." == (await ended(turns, messages=asked("When?"), answer="1990")).text
    assert isinstance((await ended(turns, messages=asked("When?"))).ended, Interrupted)
    assert isinstance((await ended(turns, messages=asked("Never mind."))).ended, Interrupted)


def test_messages_are_apart_and_the_withdrawn_one_is_gone() -> None:
    """Each message of the chain is one of the chatbot's, and comes back as one; what was taken back is not shown."""
    view = ChatView(run_id="r")
    view.put(RUNS["two_messages"])
    shown = [message("user", "Why?"), *view.messages()]
    assert ["Why?", "A draft.", "A review.\n"] == [each["content"] for each in conversation(shown)]
    view = ChatView(run_id="r")
    view.put(RUNS["withdrawn"])
    assert [("The answer.", "m2")] == [(part.text, part.message) for part in view.parts]
    assert "The answer." == view.text


def test_what_was_asked_and_answered_is_not_told_again() -> None:
    """The chain has the question and the answer in its thread; asking again goes back to what was asked first."""
    view = ChatView(run_id="r")
    view.put(RUNS["interrupted"])
    shown = [message("user", "Mail."), *view.messages(), message("user", "approve", ANSWER)]
    assert asked("Mail.", "I would send a mail.") == conversation(shown)
    assert ({"text": "Mail.", "files": []}, []) == last_question(shown)


def test_parts_of_one_message_are_joined() -> None:
    """Where a tool came between, the text of a run without messages is still one."""
    view = ChatView(run_id="r")
    view.put([Token("a"), *RUNS["answered_tool"][2:4], Token("b")])
    assert ["ab"] == [each["content"] for each in conversation(view.messages())]
