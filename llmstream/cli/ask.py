"""`llmstream ask`: one question, answered on the terminal or into a pipe. `chat` stands on the same parts."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from rich.text import Text

from llmstream import concurrency
from llmstream.cli import INTERRUPTED
from llmstream.cli.pull_progress import pull
from llmstream.core.api import stream_events
from llmstream.core.images import parts_of
from llmstream.demo_ollama.fallback import Fallback
from llmstream.errors import InvalidRequest
from llmstream.events import (
    Event,
    Failed,
    Finished,
    Interrupt,
    Interrupted,
    Started,
    Terminal,
    is_terminal,
    well_formed,
)
from llmstream.ollama.models import PROMPT_TRUNCATED, Ollama
from llmstream.openai.upstream import upstream_of
from llmstream.settings import Settings
from llmstream.view.answer import BETWEEN_MESSAGES, Answer
from llmstream.view.interrupts import arguments_to_edit, typed_answers
from llmstream.view.safe import one_line, print_stderr
from llmstream.view.terminal import on_terminal, open_console, open_view

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """The result of a question: the answer's text, its model and its terminal event, None where Ctrl-C ended it."""

    text: str
    model: str
    end: Terminal | None

    @property
    def exit_code(self) -> int:
        """The exit code: 0 for an answer, 1 for one that failed, was stopped or waits for a person, 130 for Ctrl-C."""
        if self.end is None:
            return INTERRUPTED
        return 0 if isinstance(self.end, Finished) else 1


def run(arguments: argparse.Namespace) -> int:
    """Answers the question of the command line, or of stdin."""
    question = _read_question(arguments.question)
    asked = {"role": "user", "content": parts_of(question, arguments.image) if arguments.image else question}
    with open_source(arguments) as source:
        return show_answer(source, [asked]).exit_code


def _read_question(argument: str | None) -> str:
    if argument is None and sys.stdin.isatty():
        raise InvalidRequest('There is no question. Ask one: llmstream ask "What is streaming?"')
    question = sys.stdin.read() if argument in (None, "-") else str(argument)
    if not question.strip():
        raise InvalidRequest('The question is empty. Ask one: llmstream ask "What is streaming?"')
    return well_formed(question).strip("\r\n")


class Source:
    """Answers from the default chain, over the demo Ollama where there is none."""

    def __init__(self, fallback: Fallback, model: str | None) -> None:
        self._fallback = fallback
        self.model = model

    def events(self, messages: Messages | None, **answers: Any) -> Generator[Event, None, None]:
        """The events of the answer to the last message; the default chain asks nothing, so it needs no answers."""
        return stream_events(messages, settings=self._fallback.settings, model=self.model)

    def pull_missing(self, failure: Failed) -> bool:
        """True if the model was missing and has been pulled now, because the person at the terminal wanted it."""
        model = self.model or self._fallback.settings.model
        upstream = concurrency.run(upstream_of(self._fallback.settings))
        if failure.code != "model_not_found" or not model or not isinstance(upstream, Ollama):
            return False
        if not (sys.stdin.isatty() and on_terminal(sys.stderr)):
            return False
        print(f"The model {one_line(model)} is not there. Pull it now? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return False
        pull(upstream, model)
        return True


class RemoteSource:
    """Answers from another llmstream server."""

    def __init__(self, url: str, settings: Settings, arguments: argparse.Namespace) -> None:
        self._url = url
        self._token = settings.token
        self._thinking = arguments.thinking or None
        self.model: str | None = arguments.model

    def events(self, messages: Messages | None, **answers: Any) -> Generator[Event, None, None]:
        """The events of the answer to the last message; closing them stops the run over there.

        answers: the `thread`, and `resume` in place of messages.
        """
        from llmstream.client import Client

        with Client(self._url, token=self._token) as client:
            yield from client.stream_events(messages, model=self.model, thinking=self._thinking, **answers)

    def pull_missing(self, failure: Failed) -> bool:
        """False: the models of another server are left to its owner."""
        return False


@contextmanager
def open_source(arguments: argparse.Namespace) -> Iterator[Source | RemoteSource]:
    """The source of answers that the command line asks for: this process, or the server at `--url`."""
    settings = Settings.load(
        model=arguments.model,
        system_prompt=arguments.system,
        thinking=arguments.thinking or None,
        demo=arguments.demo,
    )
    if arguments.url:
        yield RemoteSource(arguments.url, settings, arguments)
        return
    fallback = Fallback(settings, lambda changed: None)
    concurrency.run(fallback.__aenter__())
    try:
        # A model named beside --demo is one of the demo's; the demo for want of an Ollama answers with its own.
        yield Source(fallback, arguments.model if settings.demo == "always" else None)
    finally:
        concurrency.run(fallback.__aexit__())


def show_answer(source: Source | RemoteSource, messages: Messages) -> Outcome:
    """Shows the answer, and below it the figures or the error; returns the outcome."""
    thread = secrets.token_hex(16)  # of this question: the conversation before it is sent along
    while True:
        outcome = _show(source.events(messages, thread=thread))
        if not (isinstance(outcome.end, Failed) and source.pull_missing(outcome.end)):
            break
    while isinstance(outcome.end, Interrupted) and (typed := _asked_for(outcome.end.interrupts)):
        answers = typed_answers(outcome.end.interrupts, typed)
        resumed = _show(source.events(None, thread=thread, resume=answers))
        outcome = replace(resumed, text=BETWEEN_MESSAGES.join(filter(None, (outcome.text, resumed.text))))
    match outcome.end:
        case Interrupted():
            print_stderr("llmstream: The answer waits for a person. Ask again on a terminal, and answer there.")
        case Failed() as failure:
            print_stderr(f"llmstream: {failure.message}")
        case Finished() as finished:
            _tell_finished(finished, outcome)
        case None:
            pass
        case _:
            print_stderr("llmstream: The answer was stopped by somebody else; it is not complete.")
    return outcome


def _asked_for(interrupts: Sequence[Interrupt]) -> str:
    """The text that the person at the terminal types as an answer; empty where there is none."""
    if not (sys.stdin.isatty() and on_terminal(sys.stderr)):
        return ""
    others = f"arguments other than {one_line(known)}, " if (known := arguments_to_edit(interrupts)) else ""
    print(f"Your answer (y, n, {others}or a text): ", end="", file=sys.stderr, flush=True)
    return well_formed(sys.stdin.readline()).strip()


def _show(events: Generator[Event, None, None]) -> Outcome:
    text = Answer()
    model, end = "", None
    try:
        # The model is stopped before what came is laid out.
        with _one_interrupt(), open_view() as view, closing(events):
            for event in events:
                view.show(event)
                text.put([event])
                if isinstance(event, Started):
                    model = event.model
                elif is_terminal(event):
                    end = event
    except KeyboardInterrupt:
        end = None
    return Outcome(text.text, model, end)  # type: ignore[arg-type]


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """Lets Ctrl-C interrupt the block once: stopping the model is not interrupted by a second one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _tell_finished(finished: Finished, outcome: Outcome) -> None:
    if on_terminal():
        console = open_console()
        console.print(Text(one_line(_figures(finished, outcome.model)), style="dim"))
    if finished.prompt_truncated:
        print_stderr(f"llmstream: {PROMPT_TRUNCATED} (LLMSTREAM_NUM_CTX)")
    if finished.reason == "length":
        print_stderr(
            "llmstream: The answer was cut at the model's limit of tokens. Raise LLMSTREAM_NUM_CTX, or ask for less."
        )
    elif not outcome.text.strip() and finished.reason != "tool_calls":
        print_stderr("llmstream: The model ended without an answer. Ask again, or in other words.")


def _figures(finished: Finished, model: str) -> str:
    usage, timings = finished.usage, finished.timings
    figures = [
        model,
        None if timings.time_to_first_token_s is None else f"first token {timings.time_to_first_token_s:.2f} s",
        None if usage.output_tokens is None else f"{usage.output_tokens} tokens",
        None if timings.tokens_per_s is None else f"{timings.tokens_per_s:.0f} tokens/s",
    ]
    return " · ".join(figure for figure in figures if figure)
