"""How an answer ended, as each surface tells it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from llmstream.cli.ask import Outcome
from llmstream.events import (
    Cancelled,
    Data,
    Event,
    Failed,
    Finished,
    FinishReason,
    Interrupt,
    Interrupted,
    Terminal,
    Timings,
    Token,
    ToolCall,
    Usage,
)
from llmstream.gradio.view import ChatView
from llmstream.notebook.answer import answer_of
from llmstream.notebook.markdown import line_bundle
from llmstream.view.progress import Progress
from llmstream.view.terminal import TerminalView


def finished(reason: FinishReason) -> Finished:
    return Finished(reason, Usage(), Timings())


WHOLE = [finished("stop"), finished("other")]
CUT: list[tuple[Terminal, str]] = [
    (finished("length"), "The answer was cut at its length limit."),
    (finished("content_filter"), "The answer was cut by a content filter."),
    (finished("tool_calls"), "The model asks for a tool, and nothing here calls it."),
    (Failed("owner_lost", "The server that made it is gone.", retryable=True), "The server that made it is gone."),
    (Cancelled("stop"), "The answer was stopped."),
    (Cancelled("left"), "The answer was stopped: nobody was reading it."),
    (Cancelled("replaced"), "The answer was replaced by a newer question."),
]
ASKED = Interrupted([Interrupt(id="1", value="Go on?")], Usage(), Timings())


def chat_notes(*events: Event) -> list[tuple[str, str, bool]]:
    """Title, text and whether it is shown unfolded, of each note in a Gradio chat."""
    view = ChatView()
    view.put(events)
    notes = [each for each in view.messages() if (each["metadata"] or {}).get("title")]
    return [(n["metadata"]["title"], n["content"][0]["text"], n["metadata"].get("status") != "done") for n in notes]


@pytest.mark.parametrize(("end", "why"), CUT)
def test_an_answer_that_is_not_whole_says_so_in_the_chat(end: Terminal, why: str) -> None:
    """Under its text, to be read without a click; and where there is no text, in its place."""
    title = "Stopped" if isinstance(end, Cancelled) else "⚠️ The answer is not complete"
    assert [(title, why, True)] == chat_notes(Token("The sky"), end)
    ((alone, said, _),) = chat_notes(end)
    assert (title.replace("The answer is not complete", "No answer"), why) == (alone, said)


@pytest.mark.parametrize("end", WHOLE)
def test_a_whole_answer_has_no_note(end: Terminal) -> None:
    """The text says it all; an empty one is told to be empty."""
    assert [] == chat_notes(Token("Blue."), end)
    assert [("Empty answer", "The model answered nothing.", True)] == chat_notes(end)


def test_a_call_that_nobody_makes_is_no_whole_answer() -> None:
    """The call is shown, and that the answer waits for it."""
    (call, *_), (title, why, _) = chat_notes(ToolCall("1", "weather", {}), finished("tool_calls"))
    assert ("Tool: weather", "⚠️ No answer") == (call, title)
    assert "nothing here calls it" in why


@pytest.mark.parametrize("end", [*WHOLE, *(end for end, _ in CUT), ASKED])
def test_only_a_whole_answer_counts_as_one(end: Terminal) -> None:
    """For the exit code of the command, and for `complete` of a notebook's answer."""
    is_whole = end in WHOLE
    progress = Progress()
    progress.put([Token("The sky"), end])
    assert is_whole == (0 == Outcome("The sky", None, "m", end).exit_code) == answer_of(progress, "r", "").complete


@pytest.mark.parametrize(("end", "why"), CUT[:3])
def test_the_line_in_a_notebook_says_what_is_missing(end: Terminal, why: str) -> None:
    """In the plain text, too, which viewers without a kernel show."""
    progress = Progress()
    progress.put([Token("The sky"), end])
    assert line_bundle(progress)["text/plain"].startswith(why)


def test_an_object_alone_is_shown_on_a_terminal() -> None:
    """A chain that gives an object and no text has answered: the terminal shows it, character by character."""
    console = Console(file=io.StringIO(), width=60, force_terminal=False, _environ={})
    with TerminalView(console) as view:
        for event in (Data("output", {"city": "*Os*lo"}), finished("stop")):
            view.show(event)
    assert '"city": "*Os*lo"' in console.file.getvalue()  # type: ignore[attr-defined]
