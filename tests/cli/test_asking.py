"""A graph behind another server asks a person, on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest
from fastapi import FastAPI

from llmstream.cli.ask import RemoteSource, show_answer
from llmstream.events import Interrupted
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from llmstream.view.interrupts import typed_answers
from tests.support.asking_graphs import mail_graph
from tests.support.message_runs import REQUEST, interrupt
from tests.support.serving import Served

ASKED = [{"role": "user", "content": "Mail ann."}]


@pytest.fixture
def source(serve: Callable[[FastAPI], Served], settings: Settings) -> RemoteSource:
    """Answers from a server over the graph that sends mails."""
    served = serve(create_app(settings, chain=mail_graph()))
    return RemoteSource(served.url, settings, argparse.Namespace(thinking=None, model=None))


def test_a_pipe_is_told_what_is_asked(source: RemoteSource, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody can answer, the question is written out, and the exit code says that the answer is not complete."""
    outcome = show_answer(source, ASKED)
    assert (1, "I would send a mail.") == (outcome.exit_code, outcome.text)
    told = capsys.readouterr()
    assert "I would send a mail.\n\nSend this mail?\n\nDecide: approve or edit or reject.\n" == told.out
    assert "waits for a person" in told.err


def test_an_answer_goes_on_with_the_graph(source: RemoteSource) -> None:
    """What a person types is the graph's answer, on the thread of the question."""
    *_, end = source.events(ASKED, thread="t")
    assert isinstance(end, Interrupted)
    events = source.events(None, thread="t", resume=typed_answers(end.interrupts, '{"to": "bob"}'))
    assert "The mail was sent to bob." == "".join(getattr(event, "text", "") for event in events)


@pytest.mark.parametrize(
    ("text", "decision"),
    [
        ("y", {"type": "approve"}),
        (" Approve\n", {"type": "approve"}),
        ("no", {"type": "reject"}),
        ("[1]", {"type": "reject", "message": "[1]"}),
        ("Ask bob first.", {"type": "reject", "message": "Ask bob first."}),
        ('{"to": "bob"}', {"type": "edit", "edited_action": {"name": "send_mail", "args": {"to": "bob"}}}),
    ],
)
def test_what_a_typed_text_means(text: str, decision: dict[str, object]) -> None:
    """A word decides, an object changes the arguments, any other text is why a call is rejected."""
    assert {"i": {"decisions": [decision]}} == typed_answers([interrupt("i", REQUEST)], text)


def test_a_tool_that_only_a_person_answers_for() -> None:
    """Where a call can't be rejected, the text stands for the tool's result; to a question it is the answer."""
    config = {"action_name": "send_mail", "allowed_decisions": ["respond"]}
    asks = interrupt("i", {**REQUEST, "review_configs": [config]})
    found = typed_answers([asks, interrupt("j", "Which year?")], "1990")
    assert {"i": {"decisions": [{"type": "respond", "message": "1990"}]}, "j": "1990"} == found
