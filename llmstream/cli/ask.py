"""`llmstream ask`: one question, answered on the terminal or into a pipe. `chat` stands on the same parts."""

from __future__ import annotations

import argparse
import secrets
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from rich.text import Text

from llmstream.cli import INTERRUPTED, complain
from llmstream.cli.answer_json import print_answer
from llmstream.cli.interrupt_once import interrupt_once
from llmstream.cli.source import Messages, RemoteSource, Source, is_wanted, open_source
from llmstream.core.question.images import parts_of
from llmstream.errors import InvalidRequest, LlmstreamError
from llmstream.events import Event, Failed, Finished, Interrupt, Interrupted, Reasoning, Terminal, Token, well_formed
from llmstream.ollama.models import PROMPT_TRUNCATED
from llmstream.runs.continuing import can_continue
from llmstream.view.answer import BETWEEN_MESSAGES, AnswerText
from llmstream.view.ending import NOTHING, why_incomplete
from llmstream.view.interrupts import arguments_to_edit, typed_answers
from llmstream.view.safe import one_line, print_stderr
from llmstream.view.stats_line import stats_line
from llmstream.view.terminal import on_terminal, open_console, open_view
from llmstream.view.terminal_markdown import split_blocks

# How long to wait for a text on stdin before saying so, in seconds.
_QUIET_S = 2.0


@dataclass(frozen=True)
class Outcome:
    """The result of a question: the answer's text, the object that it is, if any, its model and its terminal event.

    end: None where Ctrl-C ended it.
    """

    text: str
    output: Any
    model: str
    end: Terminal | None

    @property
    def exit_code(self) -> int:
        """The exit code: 0 for a complete answer, 1 for any other, 130 for Ctrl-C."""
        if self.end is None:
            return INTERRUPTED
        return 1 if why_incomplete(self.end) else 0

    @property
    def is_cut(self) -> bool:
        """True if the answer has begun and was cut, but not by the person at the terminal."""
        return bool(self.text.strip()) and can_continue(self.end)


def run(arguments: argparse.Namespace) -> int:
    """Answers the question of the command line, of stdin, or of both."""
    if arguments.json:
        return print_answer(_events(arguments))
    asked = _message(arguments)
    with open_source(arguments) as source:
        outcome = show_answer(source, [asked])
        while outcome.is_cut and on_terminal() and is_wanted("Go on from here?"):
            try:
                outcome = show_continued(source, outcome)
            except LlmstreamError as error:
                complain(error.message)
                break
        return outcome.exit_code


def _events(arguments: argparse.Namespace) -> Generator[Event, None, None]:
    asked = _message(arguments)
    with open_source(arguments) as source, closing(source.events([asked], thread=secrets.token_hex(16))) as events:
        yield from events


def _message(arguments: argparse.Namespace) -> dict[str, Any]:
    """The message that asks."""
    question = _read_question(" ".join(arguments.question) if arguments.question else None)
    return {"role": "user", "content": parts_of(question, arguments.image) if arguments.image else question}


def _read_question(argument: str | None) -> str:
    """The question, and below it what is piped: a text that it is about."""
    if argument is None and sys.stdin.isatty():
        raise InvalidRequest('There is no question. Ask one: llmstream ask "What is streaming?"')
    piped = _read_stdin() if argument == "-" or not sys.stdin.isatty() else ""
    parts = [well_formed(part).strip("\r\n") for part in (argument if argument != "-" else "", piped) if part]
    question = "\n\n".join(part for part in parts if part.strip())
    if not question:
        raise InvalidRequest('The question is empty. Ask one: llmstream ask "What is streaming?"')
    return question


def _read_stdin() -> str:
    """All of stdin; says that it is waited for where its end does not come, as in a program that left it open."""
    told = "llmstream: Waiting for the end of the text on stdin; `< /dev/null` asks without one."
    timer = threading.Timer(_QUIET_S, print_stderr, [told])
    timer.daemon = True
    timer.start()
    try:
        return sys.stdin.read()
    finally:
        timer.cancel()


def show_answer(source: Source | RemoteSource, messages: Messages) -> Outcome:
    """Shows the answer, and below it the figures or the error; returns the outcome."""
    thread = secrets.token_hex(16)  # of this question: the conversation before it is sent along
    while True:
        outcome = _show(source.events(messages, thread=thread))
        if not (isinstance(outcome.end, Failed) and source.pull_missing(outcome.end)):
            break
    while isinstance(outcome.end, Interrupted) and (typed := _typed_answer(outcome.end.interrupts)):
        answers = typed_answers(outcome.end.interrupts, typed)
        resumed = _show(source.events(None, thread=thread, resume=answers))
        outcome = replace(resumed, text=BETWEEN_MESSAGES.join(filter(None, (outcome.text, resumed.text))))
    _tell_end(outcome)
    return outcome


def show_continued(source: Source | RemoteSource, cut: Outcome) -> Outcome:
    """Goes on with an answer that was cut, from the last block that the terminal shows; returns the outcome of all.

    Raises `LlmstreamError` with why it can't be continued.
    """
    shown, last_block = split_blocks(f"{cut.text}\n")  # as if its last line were complete
    outcome = _show(_behind(source.continued(), len(cut.text), last_block.removesuffix("\n")))
    outcome = replace(outcome, text=max(cut.text, shown + outcome.text, key=len), model=outcome.model or cut.model)
    _tell_end(outcome)
    return outcome


def _behind(events: Generator[Event, None, None], size: int, instead: str) -> Generator[Event, None, None]:
    """The events of an answer, with another text instead of what was said in the first `size` characters."""
    with closing(events):
        for event in events:
            if not size:
                yield event
            elif isinstance(event, Token):
                rest, size = event.text[size:], max(size - len(event.text), 0)
                if not size:
                    yield Token(instead + rest)
            elif not isinstance(event, Reasoning):
                yield event


def _tell_end(outcome: Outcome) -> None:
    match outcome.end:
        case Interrupted():
            print_stderr("llmstream: The answer waits for a person. Ask again on a terminal, and answer there.")
        case Finished() as finished:
            _tell_finished(finished, outcome)
        case None if on_terminal(sys.stderr):
            print_stderr("llmstream: Stopped; the answer is not complete.")
        case None:
            pass  # who reads a pipe has the exit code
        case end:
            complain(why_incomplete(end))


def _typed_answer(interrupts: Sequence[Interrupt]) -> str:
    """The text that the person at the terminal types as an answer; empty where there is none."""
    if not (sys.stdin.isatty() and on_terminal(sys.stderr)):
        return ""
    others = f"arguments other than {one_line(known)}, " if (known := arguments_to_edit(interrupts)) else ""
    print(f"Your answer (y, n, {others}or a text): ", end="", file=sys.stderr, flush=True)
    return well_formed(sys.stdin.readline()).strip()


def _show(events: Generator[Event, None, None]) -> Outcome:
    answer = AnswerText()
    try:
        # The model is stopped before what came is laid out.
        with interrupt_once(), open_view() as view, closing(events):
            for event in events:
                view.show(event)
                answer.put([event])
    except KeyboardInterrupt:
        answer.end = None
    return Outcome(answer.text, answer.output, answer.model, answer.end)


def _tell_finished(finished: Finished, outcome: Outcome) -> None:
    if on_terminal():
        console = open_console()
        console.print(Text(one_line(stats_line(finished, outcome.model)), style="dim"))
    if finished.prompt_truncated:
        print_stderr(f"llmstream: {PROMPT_TRUNCATED} (LLMSTREAM_NUM_CTX)")
    if why := why_incomplete(finished):
        complain(why)
    elif not outcome.text.strip() and outcome.output is None:
        complain(NOTHING)
