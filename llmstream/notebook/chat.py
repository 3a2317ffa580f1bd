"""A chat panel in a cell, made of ipywidgets. What people and models write is shown as Markdown, never as HTML."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import ipywidgets  # type: ignore[import-untyped]
from IPython.display import display, update_display

from llmstream.core.inputs import Arguments
from llmstream.errors import LlmstreamError
from llmstream.events import Failed, Finished
from llmstream.notebook.controls import DEFAULT_MODEL, WIDGET, Panel, Place, close_widgets
from llmstream.notebook.kernel import attended
from llmstream.notebook.markdown import MARKDOWN, PLAIN, answer_markdown, end_line, plain_line
from llmstream.notebook.screen import Painter
from llmstream.notebook.show import Following, shared_runs
from llmstream.ollama.models import Ollama
from llmstream.ollama.names import is_cloud
from llmstream.runs.owner import Runs
from llmstream.settings import Settings
from llmstream.view.markdown import escape, escape_lines
from llmstream.view.progress import Progress

_HINT = "A chat panel: run the cell to use it."


class Chat:
    """A conversation in a panel: history, input, stop, retry, and the model where the chain is the default one.

    As the last expression of a cell it is shown there. chain: any LangChain Runnable; None is the default chain.
    answer_nodes: see `astream`. runs: to share one. settings: None reads the environment for each answer.
    """

    def __init__(
        self,
        chain: object = None,
        *,
        answer_nodes: Sequence[str] = (),
        runs: Runs | None = None,
        settings: Settings | None = None,
    ) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError("A Chat lives in a notebook. In a terminal, use `llmstream chat`.") from None
        self.messages: list[dict[str, str]] = []
        self._chain = chain
        self._answer_nodes = answer_nodes
        self._runs = runs or shared_runs()
        self._settings = settings
        self._turns: list[_Turn] = []
        self._display: Any = None
        self._task: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """End the answer that is coming; what came stays."""
        if self._turns:
            self._turns[-1].stop()

    def close(self) -> None:
        """Leave the conversation in the cell, as Markdown that is saved with the notebook, in place of the panel."""
        self.stop()
        if self._display is not None:
            update_display(self._transcript(), raw=True, display_id=self._display.display_id)  # type: ignore[no-untyped-call]
            close_widgets(self._panel.box)

    def _ipython_display_(self) -> None:
        if not attended():
            display({MARKDOWN: f"*{_HINT}*", PLAIN: _HINT}, raw=True)  # type: ignore[no-untyped-call]
            return
        view = {"version_major": 2, "version_minor": 0, "model_id": self._panel.box.model_id}
        self._display = display({WIDGET: view, PLAIN: _HINT}, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    @cached_property
    def _panel(self) -> Panel:
        """Made when it is first shown: a notebook that runs unattended keeps the state of every widget."""
        if self._chain is None:
            self._looking = self._loop.create_task(self._look())
        return Panel(self._loop, send=self._ask, stop=self.stop, retry=self._retry)

    def _busy(self) -> bool:
        return self._task is not None and not self._task.done()

    def _ask(self, question: str) -> None:
        if not question.strip() or self._busy():
            return
        turn = _Turn(question, self.messages)
        self._turns.append(turn)
        self._panel.show(turn.box)
        self._task = self._loop.create_task(self._answer(turn))

    def _retry(self) -> None:
        if not self._turns or self._busy():
            return
        turn = self._turns.pop()
        self.messages = turn.before
        self._panel.remove(turn.box)
        self._ask(turn.question)

    async def _answer(self, turn: _Turn) -> None:
        self._panel.answering(True)
        arguments: Arguments = {"history": self.messages}
        if self._chain is not None:
            arguments |= {"chain": self._chain, "answer_nodes": self._answer_nodes}
        elif (model := self._panel.model()) != DEFAULT_MODEL:
            arguments["model"] = model
        try:
            arguments["settings"] = self._settings or Settings.load()
            await turn.follow(self._runs, arguments)
        finally:
            if text := turn.progress.text:
                said = [{"role": "user", "content": turn.question}, {"role": "assistant", "content": text}]
                self.messages = [*self.messages, *said]
            self._panel.answering(False)

    async def _look(self) -> None:
        """Offer the models that there are."""
        with suppress(LlmstreamError):  # the first answer will say what is wrong
            models = await Ollama.of(self._settings or Settings.load()).models()
            self._panel.offer([model.name for model in models if not is_cloud(model.name)])

    def _transcript(self) -> dict[str, str]:
        return {
            MARKDOWN: "\n\n".join(turn.markdown() for turn in self._turns),
            PLAIN: "\n\n".join(turn.plain() for turn in self._turns),
        }


class _Turn:
    """A question and its answer in the panel; before: the conversation up to it."""

    def __init__(self, question: str, before: list[dict[str, str]]) -> None:
        self.question = question
        self.before = before
        asked, answer, self._line = Place(), Place(), Place()
        asked.put({MARKDOWN: _asked(question), PLAIN: question})
        self.box = ipywidgets.VBox([asked.widget, answer.widget, self._line.widget])
        self._painter = Painter(answer.put, self._tell)
        self._following: Following | None = None

    @property
    def progress(self) -> Progress:
        """The answer so far."""
        return self._painter.progress

    def stop(self) -> None:
        if self._following is not None:
            self._following.stop()

    async def follow(self, runs: Runs, arguments: Arguments) -> None:
        """Show the answer as it comes, to its end, also a bad one."""
        self._tell("Waiting for the answer")
        try:
            self._following = Following(runs, self.question, arguments)
            await self._following.into(self._painter.put)
        except LlmstreamError as error:
            self.progress.fail(error.code, error.message)
        finally:
            line = _end(self.progress)
            self._line.put({MARKDOWN: line, PLAIN: line})

    def markdown(self) -> str:
        """Question and answer, and what is wrong with it."""
        parts = (_asked(self.question), answer_markdown(self.progress), self._fault())
        return "\n\n".join(filter(None, parts))

    def plain(self) -> str:
        """The same as plain text."""
        parts = (f"> {self.question}", self.progress.text, plain_line(self._fault()))
        return "\n\n".join(filter(None, parts))

    def _fault(self) -> str:
        return "" if isinstance(self.progress.ended, Finished) else _end(self.progress)

    def _tell(self, status: str) -> None:
        self._line.put({MARKDOWN: f"*{escape(status)} …*", PLAIN: status})


def _asked(question: str) -> str:
    return f"**You:** {escape_lines(question)}"


def _end(progress: Progress) -> str:
    failure = progress.ended
    said = f" {escape(failure.message)}" if isinstance(failure, Failed) else ""
    return end_line(progress) + said
