"""A question in a chat's panel, its answer, and below it the form for what a graph asks."""

from __future__ import annotations

import base64
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets  # type: ignore[import-untyped]

from llmstream.core.question.images import image_url, parts_of
from llmstream.core.question.inputs import Arguments
from llmstream.errors import InvalidRequest, LlmstreamError
from llmstream.events import Failed, Finished, Interrupted, failed
from llmstream.notebook.answer import Answer, answer_of
from llmstream.notebook.controls import Nowhere, Place, close_widgets
from llmstream.notebook.interrupt_form import Asked
from llmstream.notebook.markdown import (
    MARKDOWN,
    PLAIN,
    answer_bundle,
    answer_markdown,
    end_line,
    message_markdown,
    plain_line,
)
from llmstream.notebook.screen import Painter
from llmstream.notebook.show import follow_into
from llmstream.runs.continuing import can_continue
from llmstream.runs.following import Following
from llmstream.runs.manager import Runs
from llmstream.runs.run import Run
from llmstream.view.markdown import escape, escape_lines
from llmstream.view.progress import Progress


class Turn:
    """A person's message and its answer; before: the conversation up to it.

    images: as `show` takes them. resume: the answers to what a graph had asked, of which this shows the rest; the
    question says them in words. is_shown: whether there is somebody to see it; else it has no box.
    """

    def __init__(
        self,
        question: str,
        before: list[dict[str, Any]],
        *,
        images: Sequence[Any] = (),
        resume: Mapping[str, Any] | None = None,
        is_shown: bool = True,
    ) -> None:
        self.question = question
        self.images = images
        self.before = before
        self.resume = resume
        self._urls: list[str] = []
        self._problem: InvalidRequest | None = None
        try:
            self._urls = [image_url(each) for each in images]
        except InvalidRequest as error:
            self._problem = error
        self._form: Asked | None = None
        asked, self._answer, self._line = (_place(is_shown) for _ in range(3))
        asked.put({MARKDOWN: _asked(question), PLAIN: question})
        self.box = _box(asked, map(_image, self._urls), self._answer, self._line) if is_shown else None
        self._painter = Painter(self._answer.put, self._tell)
        self._following: Following | None = None
        self._run_id = ""

    @property
    def progress(self) -> Progress:
        """The answer so far."""
        return self._painter.progress

    @property
    def is_cut(self) -> bool:
        """True if there is an answer that was cut."""
        return bool(self.progress.text.strip()) and can_continue(self.progress.ended)

    def stop(self) -> None:
        """End the answer; what came stays."""
        if self._following is not None:
            self._following.stop()

    async def follow(self, runs: Runs, arguments: Callable[[], Arguments]) -> None:
        """Shows the answer as it comes, to its end, also a bad one; arguments: gives those of `astream`."""
        await self._show(partial(self._start, runs, arguments))

    async def go_on(self, runs: Runs) -> None:
        """Shows the run that goes on with the answer, which was cut; it stays as it is where nothing comes of that."""
        cut, run_id = self._painter, self._run_id
        self._painter = Painter(self._answer.put, self._tell)
        try:
            await self._show(partial(runs.continue_run, run_id))
        finally:
            if not self.progress.text:
                why = _said(self.progress) or _said(cut.progress)
                self._painter, self._run_id = cut, run_id
                self._answer.put(answer_bundle(cut.progress))
                self._end_with(end_line(cut.progress) + why)

    async def _start(self, runs: Runs, arguments: Callable[[], Arguments]) -> Run:
        if self._problem is not None:
            raise self._problem
        question = self.question if self.resume is None else None
        begun: Arguments = {"history": self.before} if self.resume is None else {"resume": self.resume}
        begun |= {**arguments(), "images": self._urls}
        return await runs.start(question, grace_s=0, **begun)

    async def _show(self, start: Callable[[], Coroutine[Any, Any, Run]]) -> None:
        self._line.waits(True)
        self._tell("Waiting for the answer")
        self._following = following = Following(start)
        try:
            await follow_into(self._painter.put, following)
        except LlmstreamError as error:
            self.progress.put([failed(error)])
        finally:
            self._run_id = following.run_id
            self._line.waits(False)
            self._end_with(_end(self.progress))

    def said(self) -> list[dict[str, Any]]:
        """The messages that the turn adds to the conversation: none where no answer came and none is waited for."""
        text, is_waiting = self.progress.plain, isinstance(self.progress.ended, Interrupted)
        content = parts_of(self.question, self._urls) if self._urls else self.question
        asked = [{"role": "user", "content": content}] if self.resume is None and (text or is_waiting) else []
        return [*asked, {"role": "assistant", "content": text}] if text else asked

    def answer(self, shown_in: str) -> Answer:
        """The answer as `show` gives it; shown_in: the request of the cell where it need not be shown again."""
        return answer_of(self.progress, self._run_id, shown_in)

    def show_form(self, on_answers: Callable[[Mapping[str, Any], str], object]) -> None:
        """Show the form, where the graph asks something; on_answers: as `Asked` takes it."""
        if isinstance(self.progress.ended, Interrupted) and self.box is not None:
            self._form = Asked(self.progress.ended.interrupts, on_answers)
            self.box.children = (*self.box.children, self._form.box)

    def hide_form(self) -> None:
        """Remove the form: it was answered, or something else is asked instead."""
        if self._form is not None and self.box is not None:
            form, self._form = self._form.box, None
            self.box.children = tuple(child for child in self.box.children if child is not form)
            close_widgets(form)

    def markdown(self) -> str:
        """Question and answer as Markdown, with the error where there is one."""
        parts = (_asked(self.question), self._told_images(), answer_markdown(self.progress), self._fault())
        return "\n\n".join(filter(None, parts))

    def plain(self) -> str:
        """Question and answer as plain text."""
        images = plain_line(self._told_images())
        parts = (f"> {self.question}", images, self.progress.plain, plain_line(self._fault()))
        return "\n\n".join(filter(None, parts))

    def _told_images(self) -> str:
        count = len(self._urls)
        return f"*{count} image{'' if count == 1 else 's'}*" if count else ""

    def _fault(self) -> str:
        is_answered = isinstance(self.progress.ended, Interrupted) and self._form is None
        return "" if is_answered or isinstance(self.progress.ended, Finished) else _end(self.progress)

    def _tell(self, status: str) -> None:
        self._line.put({MARKDOWN: f"*{escape(status)} …*" if status else "", PLAIN: status})

    def _end_with(self, line: str) -> None:
        self._line.put({MARKDOWN: line, PLAIN: plain_line(line)})


def _place(is_shown: bool) -> Place | Nowhere:
    return Place() if is_shown else Nowhere()


def _box(asked: Any, images: Iterable[ipywidgets.Image], *answer: Any) -> ipywidgets.VBox:
    seen = ipywidgets.HBox(list(images), layout={"flex_flow": "row wrap"})
    return ipywidgets.VBox([asked.widget, seen, *(place.widget for place in answer)])


def _image(url: str) -> ipywidgets.Image:
    kind, _, data = url.removeprefix("data:image/").partition(";base64,")
    small = {"max_width": "12em", "max_height": "12em", "object_fit": "contain"}
    return ipywidgets.Image(value=base64.b64decode(data), format=kind, layout=small)


def _asked(question: str) -> str:
    return f"**You:** {escape_lines(question)}"


def _end(progress: Progress) -> str:
    return end_line(progress) + _said(progress)


def _said(progress: Progress) -> str:
    failure = progress.ended
    return f" {message_markdown(failure.message)}" if isinstance(failure, Failed) else ""
