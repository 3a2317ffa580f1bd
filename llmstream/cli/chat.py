"""`llmstream chat`: a conversation on the terminal."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from llmstream.cli.ask import show_answer
from llmstream.cli.source import RemoteSource, Source, open_source
from llmstream.errors import LlmstreamError
from llmstream.events import well_formed
from llmstream.view.safe import print_stderr

HELP = """\
/model NAME  answer with another model from now on
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
    with open_source(arguments) as source:
        while (line := _read_line("> " if at_terminal else "")) is not None:
            if (command := _COMMAND.fullmatch(line)) is not None:
                _obey(command[1], command[2], history, source)
            elif line.strip():
                _answer(line, history, source)
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


def _answer(question: str, history: list[dict[str, Any]], source: Source | RemoteSource) -> None:
    """Answers, and keeps question and answer in the conversation where there is at least a part of an answer."""
    asked = {"role": "user", "content": question}
    try:
        outcome = show_answer(source, [*history, asked])
    except LlmstreamError as error:
        print_stderr(f"llmstream: {error.message}")
        return
    except KeyboardInterrupt:  # at the offer to pull a model, or while one is pulled
        print_stderr("")
        return
    if outcome.text:
        history += [asked, {"role": "assistant", "content": outcome.text}]
