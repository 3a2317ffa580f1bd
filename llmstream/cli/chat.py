"""`llmstream chat`: a conversation on the terminal."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from typing import Any

from llmstream.cli.ask import Outcome, show_answer, show_continued
from llmstream.cli.source import NOTHING_SAID, RemoteSource, Source, open_source
from llmstream.errors import LlmstreamError
from llmstream.events import well_formed
from llmstream.view.safe import print_stderr

HELP = """\
/model NAME  answer with another model from now on
/continue    go on with an answer that was cut
/new         forget what was said
/help        this list
Ctrl-C       stop an answer; what came of it is kept
Ctrl-D       end the chat, as Ctrl-C does at the prompt"""

_COMMAND = re.compile(r"/(\w+)(?:\s+(\S+))?\s*")


def run(arguments: argparse.Namespace) -> int:
    """Answers questions with the conversation before them, until Ctrl-C or Ctrl-D at the prompt."""
    _edit_lines()
    at_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if at_terminal:
        print_stderr("Ask something. /help lists commands, Ctrl-D ends.")
    history: list[dict[str, Any]] = []
    last: Outcome | None = None
    with open_source(arguments) as source:
        while (line := _read_line("> " if at_terminal else "")) is not None:
            if (command := _COMMAND.fullmatch(line)) is not None and command[1] == "continue":
                last = _go_on(last, history, source)
            elif command is not None:
                last = None if command[1] == "new" else last
                _obey(command[1], command[2], history, source)
            elif line.strip():
                last = _answer(line, history, source)
    return 0


def _edit_lines() -> None:
    """Enables arrow keys and earlier lines at the prompt."""
    try:
        import readline  # noqa: F401 - input() uses it once it is imported
    except ImportError:
        return  # Windows: its console edits lines by itself


def _read_line(prompt: str) -> str | None:
    """The line that the person typed; None at the end of the input."""
    try:
        return well_formed(input(prompt))
    except (EOFError, KeyboardInterrupt):
        if prompt:
            print()
        return None


def _obey(command: str, argument: str | None, history: list[dict[str, Any]], source: Source | RemoteSource) -> None:
    match command:
        case "model" if argument:
            source.model = argument
            print_stderr(f"From now on {argument} answers.")
        case "model":
            print_stderr(f"Model: {source.model or 'the default one'}")
        case "new":
            history.clear()
            print_stderr("The conversation begins anew.")
        case "help":
            for line in HELP.splitlines():
                print_stderr(line)
        case _:
            print_stderr(f"There is no command /{command}. /help lists those that there are.")


def _answer(question: str, history: list[dict[str, Any]], source: Source | RemoteSource) -> Outcome | None:
    """Answers, and keeps question and answer in the conversation where there is at least a part of an answer."""
    asked = {"role": "user", "content": question}
    outcome = _told(lambda: show_answer(source, [*history, asked]))
    if outcome is not None and outcome.text:
        history += [asked, {"role": "assistant", "content": outcome.text}]
        if outcome.is_cut:
            print_stderr("/continue goes on from here.")
    return outcome


def _go_on(cut: Outcome | None, history: list[dict[str, Any]], source: Source | RemoteSource) -> Outcome | None:
    """Goes on with the last answer, which takes the place of its part in the conversation."""
    if cut is None or not cut.text:
        print_stderr(f"llmstream: {NOTHING_SAID}")
        return cut
    outcome = _told(lambda: show_continued(source, cut))
    if outcome is None:
        return cut
    history[-1] = {"role": "assistant", "content": outcome.text}
    return outcome


def _told(show: Callable[[], Outcome]) -> Outcome | None:
    """The outcome of an answer; None where there was none, which the person is told."""
    try:
        return show()
    except LlmstreamError as error:
        print_stderr(f"llmstream: {error.message}")
    except KeyboardInterrupt:  # at the offer to pull a model, or while one is pulled
        print_stderr("")
    return None
