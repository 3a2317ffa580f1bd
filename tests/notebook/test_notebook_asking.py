"""A graph that asks a person, in a notebook."""

from __future__ import annotations

import pytest

from llmstream.notebook.answer import answer_of
from llmstream.notebook.markdown import answer_markdown, end_line
from llmstream.view.progress import Progress
from tests.support.message_runs import REQUEST, RUNS


def test_what_is_asked_is_shown_and_told() -> None:
    """The question stands below the answer, and the answer's object says what is asked and by which id."""
    progress = Progress()
    progress.put(RUNS["interrupted"])
    answer = answer_of(progress, "r", "")
    assert ("interrupted", False, None) == (answer.state, answer.complete, answer.error)
    assert ([{"id": "i1", "value": REQUEST}], "I would send a mail.") == (answer.interrupts, answer.text)
    assert "Send this mail?" in answer_markdown(progress)
    assert end_line(progress).startswith("*Waiting for an answer")


@pytest.mark.parametrize(("run", "text"), [("two_messages", "A draft.\n\nA review.\n"), ("withdrawn", "The answer.")])
def test_messages(run: str, text: str) -> None:
    """Messages are apart, and one that was taken back is not in the answer."""
    progress = Progress()
    progress.put(RUNS[run])
    assert text == answer_of(progress, "r", "").text
    assert "grade" not in answer_markdown(progress)
