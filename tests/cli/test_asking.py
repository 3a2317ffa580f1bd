"""A graph behind another server asks a person, on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

from llmstream.cli.ask import show_answer, show_continued
from llmstream.cli.source import RemoteSource
from llmstream.events import Finished, Interrupted, ToolResult
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from llmstream.view.interrupts import arguments_to_edit, typed_answers
from tests.support.asking_graphs import mail_graph
from tests.support.message_runs import REQUEST, interrupt
from tests.support.real_agent import QUESTION, RESULTS, weather_agent
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


def test_an_object_is_an_answer(
    serve: Callable[[FastAPI], Served], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe gets it as JSON, and nobody is told that there is no answer."""

    def city(question: str) -> dict[str, str]:
        return {"city": "Oslo"}

    served = serve(create_app(settings, chain=city))
    outcome = show_answer(RemoteSource(served.url, settings, argparse.Namespace(thinking=None, model=None)), ASKED)
    told = capsys.readouterr()
    assert '{"city": "Oslo"}\n' in told.out
    assert (False, 0) == ("without an answer" in told.err, outcome.exit_code)


def test_an_answer_goes_on_with_the_graph(source: RemoteSource) -> None:
    """What a person types is the graph's answer, on the thread of the question."""
    *_, end = source.events(ASKED, thread="t")
    assert isinstance(end, Interrupted)
    events = source.events(None, thread="t", resume=typed_answers(end.interrupts, '{"to": "bob"}'))
    assert "The mail was sent to bob." == "".join(getattr(event, "text", "") for event in events)


def test_a_cut_answer_of_another_server_goes_on(
    serve: Callable[[FastAPI], Served], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server is asked to continue its run, and the paragraph that was cut is shown again, whole."""
    served = serve(create_app(settings))
    source = RemoteSource(served.url, settings, argparse.Namespace(thinking=None, model="demo:length"))
    cut = show_answer(source, ASKED)
    assert cut.is_cut
    capsys.readouterr()
    more = show_continued(source, cut)
    assert "The sky is blue because air scatters blue light more" == more.text
    assert capsys.readouterr().out.endswith(f"{more.text}\n")  # behind what the server logs


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


def test_several_calls_are_edited_together() -> None:
    """Other arguments for two calls are a list of them; fewer, or some for a call that may not be edited, are none."""
    calls = [{"name": "send_mail", "args": {"to": to}} for to in ("ann", "cid")]
    config: Any = REQUEST["review_configs"]
    asked = [interrupt(f"i{n}", {"action_requests": [call], "review_configs": config}) for n, call in enumerate(calls)]
    assert '[{"to": "ann"}, {"to": "cid"}]' == arguments_to_edit(asked)
    found = typed_answers(asked, '[{"to": "bob"}, {"to": "dan"}]')
    edited = [each["decisions"][0]["edited_action"]["args"]["to"] for each in found.values()]
    assert ["bob", "dan"] == edited
    for asks in (
        asked,
        [interrupt("i", {**REQUEST, "review_configs": [{**config[0], "allowed_decisions": ["reject"]}]})],
    ):
        decided = [each["decisions"][0]["type"] for each in typed_answers(asks, '{"to": "bob"}').values()]
        assert {"reject"} == set(decided)
    assert "" == arguments_to_edit([interrupt("j", "Which year?")])


@pytest.mark.parametrize(
    ("decision", "text"), [("approve", "y"), ("edit", '{"city": "Oslo"}'), ("reject", "18 degrees and rainy")]
)
def test_a_real_agent(serve: Callable[[FastAPI], Served], real_settings: Settings, decision: str, text: str) -> None:
    """What is typed decides on the call of `create_agent` on a real Ollama."""
    served = serve(create_app(real_settings, chain=weather_agent(real_settings.ollama_url)))
    source = RemoteSource(served.url, real_settings, argparse.Namespace(thinking=None, model=None))
    *_, end = source.events([{"role": "user", "content": QUESTION}], thread="t")
    assert isinstance(end, Interrupted)
    assert '{"city": "Paris"}' == arguments_to_edit(end.interrupts)
    events = list(source.events(None, thread="t", resume=typed_answers(end.interrupts, text)))
    assert RESULTS[decision] in str([event.output for event in events if isinstance(event, ToolResult)])
    assert isinstance(events[-1], Finished)


def test_a_tool_that_only_a_person_answers_for() -> None:
    """Where a call can't be rejected, the text stands for the tool's result; to a question it is the answer."""
    config = {"action_name": "send_mail", "allowed_decisions": ["respond"]}
    asks = interrupt("i", {**REQUEST, "review_configs": [config]})
    found = typed_answers([asks, interrupt("j", "Which year?")], "1990")
    assert {"i": {"decisions": [{"type": "respond", "message": "1990"}]}, "j": "1990"} == found
