"""A question in a chat's panel, its answer, and below it the form for what a graph asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ipywidgets  # type: ignore[import-untyped]

from llmstream.core.inputs import Arguments
from llmstream.errors import LlmstreamError
from llmstream.events import Failed, Finished, Interrupted
from llmstream.notebook.controls import Place, close_widgets
from llmstream.notebook.interrupt_form import Asked
from llmstream.notebook.markdown import MARKDOWN, PLAIN, answer_markdown, end_line, plain_line
from llmstream.notebook.screen import Painter
from llmstream.notebook.show import follow_into
from llmstream.runs.following import Following
from llmstream.runs.manager import Runs
from llmstream.view.markdown import escape, escape_lines
from llmstream.view.progress import Progress


class Turn:
    """A person's message and its answer; before: the conversation up to it.

    resume: the answers to what a graph had asked, of which this shows the rest; the question says them in words.
    """

    def __init__(self, question: str, before: list[dict[str, str]], resume: Mapping[str, Any] | None = None) -> None:
        self.question = question
        self.before = before
        self.resume = resume
        self._form: Asked | None = None
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
        """End the answer; what came stays."""
        if self._following is not None:
            self._following.stop()

    async def follow(self, runs: Runs, arguments: Arguments) -> None:
        """Shows the answer as it comes, to its end, also a bad one."""
        self._tell("Waiting for the answer")
        try:
            question = self.question if self.resume is None else None
            begun: Arguments = {"history": self.before} if self.resume is None else {"resume": self.resume}
            begun |= arguments
            start = partial(runs.start, question, grace_s=0, **begun)
            self._following = Following(start)
            await follow_into(self._painter.put, self._following)
        except LlmstreamError as error:
            self.progress.fail(error.code, error.message)
        finally:
            line = _end(self.progress)
            self._line.put({MARKDOWN: line, PLAIN: line})

    def said(self) -> list[dict[str, str]]:
        """The messages that the turn adds to the conversation: none where no answer came and none is waited for."""
        text, is_waiting = self.progress.text, isinstance(self.progress.ended, Interrupted)
        asked = [{"role": "user", "content": self.question}] if self.resume is None and (text or is_waiting) else []
        return [*asked, {"role": "assistant", "content": text}] if text else asked

    def show_form(self, on_answers: Callable[[Mapping[str, Any], str], object]) -> None:
        """Show the form, where the graph asks something; on_answers: as `Asked` takes it."""
        if isinstance(self.progress.ended, Interrupted):
            self._form = Asked(self.progress.ended.interrupts, on_answers)
            self.box.children = (*self.box.children, self._form.box)

    def hide_form(self) -> None:
        """Remove the form: it was answered, or something else is asked instead."""
        if self._form is not None:
            form, self._form = self._form.box, None
            self.box.children = tuple(child for child in self.box.children if child is not form)
            close_widgets(form)

    def markdown(self) -> str:
        """Question and answer as Markdown, with the error where there is one."""
        parts = (_asked(self.question), answer_markdown(self.progress), self._fault())
        return "\n\n".join(filter(None, parts))

    def plain(self) -> str:
        """Question and answer as plain text."""
        parts = (f"> {self.question}", self.progress.text, plain_line(self._fault()))
        return "\n\n".join(filter(None, parts))

    def _fault(self) -> str:
        is_answered = isinstance(self.progress.ended, Interrupted) and self._form is None
        return "" if is_answered or isinstance(self.progress.ended, Finished) else _end(self.progress)

    def _tell(self, status: str) -> None:
        self._line.put({MARKDOWN: f"*{escape(status)} …*", PLAIN: status})


def _asked(question: str) -> str:
    return f"**You:** {escape_lines(question)}"


def _end(progress: Progress) -> str:
    failure = progress.ended
    said = f" {escape(failure.message)}" if isinstance(failure, Failed) else ""
    return end_line(progress) + said
