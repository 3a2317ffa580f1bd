"""The sources of answers for `ask` and `chat`: this process, or another llmstream server."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from llmstream import concurrency
from llmstream.demo_ollama.stand_in import Fallback
from llmstream.errors import InvalidRequest, LlmstreamError, SettingsError
from llmstream.events import Event, Failed, failed
from llmstream.ollama.models import Ollama
from llmstream.ollama.names import is_fault
from llmstream.openai.upstream_from_settings import upstream_of
from llmstream.runs.manager import Runs
from llmstream.runs.memory import MemoryLog
from llmstream.runs.run import Run
from llmstream.settings import Settings
from llmstream.view.safe import one_line
from llmstream.view.terminal import on_terminal, open_console

if TYPE_CHECKING:
    from llmstream.client import Client

Messages = Sequence[Mapping[str, Any]]

NOTHING_SAID = "There is no answer to go on with. Ask something first."


def is_wanted(question: str) -> bool:
    """True if there is a person at the terminal who says yes."""
    if not (sys.stdin.isatty() and on_terminal(sys.stderr)):
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


class Source:
    """Answers from the default chain, over the demo Ollama where there is none."""

    def __init__(self, fallback: Fallback, model: str | None) -> None:
        self._fallback = fallback
        self._runs = Runs(fallback.settings, log=MemoryLog())
        self._run: Run | None = None
        self.model = model

    def events(self, messages: Messages | None, **answers: Any) -> Generator[Event, None, None]:
        """The events of the answer to the last message; the default chain asks nothing, so it needs no answers."""
        settings = self._fallback.settings
        return concurrency.iterate(
            lambda: self._follow(self._runs.start(messages, settings=settings, model=self.model))
        )

    def continued(self) -> Generator[Event, None, None]:
        """The events of the run that goes on with the last answer; raises `InvalidRequest` with why there is none."""
        if self._run is None:
            raise InvalidRequest(NOTHING_SAID)
        run = self._run
        return concurrency.iterate(lambda: self._follow(run.continue_(), must=True))

    async def _follow(self, starting: Coroutine[Any, Any, Run], *, must: bool = False) -> AsyncGenerator[Event, None]:
        """The events of a run; must: raises what makes it impossible, instead of telling it as an event."""
        try:
            self._run = run = await starting
        except LlmstreamError as error:
            if must:
                raise
            yield failed(error)
            return
        try:
            async for event in run.follow():
                yield event
        finally:
            await run.stop()  # at once, so that it can be continued

    def pull_missing(self, failure: Failed) -> bool:
        """True if the model was missing and has been pulled now, because the person at the terminal wanted it."""
        model = self.model or self._fallback.settings.model
        upstream = concurrency.run(upstream_of(self._fallback.settings))
        if failure.code != "model_not_found" or not model or is_fault(model) or not isinstance(upstream, Ollama):
            return False
        if not is_wanted(f"The model {one_line(model)} is not there. Pull it now?"):
            return False
        _pull(upstream, model)
        return True


class RemoteSource:
    """Answers from another llmstream server."""

    def __init__(self, url: str, settings: Settings, arguments: argparse.Namespace) -> None:
        self._url = url
        self._token = settings.token
        self._thinking = arguments.thinking or None
        self._run_id = ""
        self.model: str | None = arguments.model

    def events(self, messages: Messages | None, **answers: Any) -> Generator[Event, None, None]:
        """The events of the answer to the last message; closing them stops the run over there.

        answers: the `thread`, and `resume` in place of messages.
        """
        yield from self._follow(
            lambda client: client.start(messages, model=self.model, thinking=self._thinking, **answers)
        )

    def continued(self) -> Generator[Event, None, None]:
        """The events of the run that goes on with the last answer; raises what the server refuses it with."""
        if not (run_id := self._run_id):
            raise InvalidRequest(NOTHING_SAID)
        yield from self._follow(lambda client: client.continue_run(run_id))

    def _follow(self, start: Callable[[Client], str]) -> Generator[Event, None, None]:
        from llmstream.client import Client

        with Client(self._url, token=self._token) as client:
            self._run_id = start(client)
            yield from client.stream_run(self._run_id)

    def pull_missing(self, failure: Failed) -> bool:
        """False: the models of another server are left to its owner."""
        return False


@contextmanager
def open_source(arguments: argparse.Namespace) -> Iterator[Source | RemoteSource]:
    """The source of answers that the command line asks for: this process, or the server at `--url`."""
    _check_url(arguments)
    settings = Settings.load(
        model=arguments.model,
        system_prompt=arguments.system,
        thinking=arguments.thinking or None,
        demo=arguments.demo,
    )
    if arguments.url:
        yield RemoteSource(arguments.url, settings, arguments)
        return
    fallback = Fallback(lambda: settings)
    concurrency.run(fallback.__aenter__())
    try:
        # A model named beside --demo is one of the demo's; the demo for want of an Ollama answers with its own.
        yield Source(fallback, arguments.model if settings.demo == "always" else None)
    finally:
        concurrency.run(fallback.__aexit__())


def _check_url(arguments: argparse.Namespace) -> None:
    if not arguments.url:
        return
    if arguments.demo or arguments.system is not None:
        raise SettingsError(
            "--url asks another server, which decides on its demo and its system prompt: leave out --demo and --system."
        )
    if not arguments.url.startswith(("http://", "https://")):
        raise SettingsError("--url takes an address with http:// or https://, such as http://localhost:8000.")


def _pull(ollama: Ollama, model: str) -> None:
    """Pulls a model, with a bar on stderr; raises `ModelNotFound` where it can't be had."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=open_console(sys.stderr), redirect_stdout=False) as progress:
        task = progress.add_task(f"Pulling {one_line(model)}", total=None)
        for step in ollama.pull(model):
            progress.update(task, description=one_line(step.status or ""))
            if step.total:  # each layer counts its own bytes; the status names it
                progress.update(task, total=step.total, completed=step.completed or 0)
        progress.update(task, description=f"Pulled {one_line(model)}")
