"""A chat panel in a cell, made of ipywidgets. What people and models write is shown as Markdown, never as HTML."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ipywidgets  # type: ignore[import-untyped]
from IPython.core.display_functions import display, update_display

from llmstream.core import Arguments
from llmstream.errors import LlmstreamError
from llmstream.events import Failed
from llmstream.markdown import escape, escape_lines
from llmstream.notebook_controls import WIDGET, close_widgets
from llmstream.notebook_screen import Painter
from llmstream.notebook_show import Following, shared_runs
from llmstream.notebook_view import MARKDOWN, PLAIN, answer_markdown, end_line
from llmstream.ollama import Ollama, is_cloud
from llmstream.progress import Progress
from llmstream.runs.owner import Runs
from llmstream.settings import Settings

_DEFAULT = "the default model"


class Chat:
    """A conversation in a panel: history, input, stop, retry, and the model where the chain is the default one.

    As the last expression of a cell it is shown there. chain: any LangChain Runnable; None is the default chain.
    runs: to share one. settings: None reads the environment for each answer.
    """

    def __init__(self, chain: object = None, *, runs: Runs | None = None, settings: Settings | None = None) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError("A Chat lives in a notebook. In a terminal, use `llmstream chat`.") from None
        self.messages: list[dict[str, str]] = []
        self._chain = chain
        self._runs = runs or shared_runs()
        self._settings = settings
        self._turns: list[_Turn] = []
        self._display: Any = None
        self._task: asyncio.Task[None] | None = None
        self._panel = _Panel(
            send=lambda text: self._soon(self._ask, text),
            stop=lambda: self._soon(self.stop),
            retry=lambda: self._soon(self._retry),
        )
        self._looking = self._loop.create_task(self._look()) if chain is None else None

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
        view = {"version_major": 2, "version_minor": 0, "model_id": self._panel.box.model_id}
        hint = "A chat panel: run the cell to use it."
        self._display = display({WIDGET: view, PLAIN: hint}, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def _soon(self, call: Callable[..., object], *arguments: Any) -> None:
        # A front end may have the callbacks of widgets run in another thread.
        self._loop.call_soon_threadsafe(call, *arguments)

    def _busy(self) -> bool:
        return self._task is not None and not self._task.done()

    def _ask(self, question: str) -> None:
        if not question.strip() or self._busy():
            return
        turn = _Turn(question, self.messages)
        self._turns.append(turn)
        self._panel.show(turn)
        self._task = self._loop.create_task(self._answer(turn))

    def _retry(self) -> None:
        if not self._turns or self._busy():
            return
        turn = self._turns.pop()
        self.messages = turn.before
        self._panel.remove(turn)
        self._ask(turn.question)

    async def _answer(self, turn: _Turn) -> None:
        self._panel.answering(True)
        arguments: Arguments = {"history": self.messages}
        if self._chain is not None:
            arguments["chain"] = self._chain
        elif (model := self._panel.model()) != _DEFAULT:
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
            PLAIN: "\n\n".join(f"> {turn.question}\n\n{turn.progress.text}" for turn in self._turns),
        }


class _Turn:
    """A question and its answer in the panel; before: the conversation up to it."""

    def __init__(self, question: str, before: list[dict[str, str]]) -> None:
        self.question = question
        self.before = before
        asked, self._answer, self._line = ipywidgets.Output(), ipywidgets.Output(), ipywidgets.Output()
        _put(asked, {MARKDOWN: _asked(question), PLAIN: question})
        self.box = ipywidgets.VBox([asked, self._answer, self._line])
        self._painter = Painter(lambda bundle: _put(self._answer, bundle), self._tell)
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
            _put(self._line, {MARKDOWN: line, PLAIN: line})

    def markdown(self) -> str:
        """Question and answer."""
        return f"{_asked(self.question)}\n\n{answer_markdown(self.progress)}"

    def _tell(self, status: str) -> None:
        _put(self._line, {MARKDOWN: f"*{escape(status)} …*", PLAIN: status})


class _Panel:
    """The widgets."""

    def __init__(self, send: Callable[[str], None], stop: Callable[[], None], retry: Callable[[], None]) -> None:
        wide = {"flex": "1 1 12em", "width": "auto", "min_width": "8em"}
        self._text = ipywidgets.Text(placeholder="Ask something", continuous_update=False, layout=wide)
        self._send = _button("Send", "paper-plane", lambda: self._take(send))
        self._stop = _button("Stop", "stop", stop)
        self._retry = _button("Retry", "refresh", retry)
        self._stop.disabled = self._retry.disabled = True
        self._models = ipywidgets.Dropdown(options=[_DEFAULT], layout={"width": "auto", "max_width": "100%"})
        self._models.layout.display = "none"
        self._turns = ipywidgets.VBox([])
        row = {"flex_flow": "row wrap", "align_items": "center"}
        asking = ipywidgets.HBox([self._text, self._send, self._stop, self._retry], layout=row)
        self.box = ipywidgets.VBox([self._models, self._turns, asking])
        # The Enter key; a change of the value alone may also come from leaving the field.
        self._text.on_msg(
            lambda widget, content, buffers: self._take(send) if content.get("event") == "submit" else None
        )

    def model(self) -> str:
        """The picked model."""
        return str(self._models.value)

    def offer(self, names: list[str]) -> None:
        """Offer these models."""
        self._models.options = [_DEFAULT, *names]
        self._models.layout.display = None

    def show(self, turn: _Turn) -> None:
        """Add a turn at the end."""
        self._turns.children = (*self._turns.children, turn.box)

    def remove(self, turn: _Turn) -> None:
        """Remove a turn."""
        self._turns.children = tuple(child for child in self._turns.children if child is not turn.box)
        close_widgets(turn.box)

    def answering(self, busy: bool) -> None:
        """Whether an answer is coming."""
        self._send.disabled = self._retry.disabled = busy
        self._stop.disabled = not busy

    def _take(self, send: Callable[[str], None]) -> None:
        question = self._text.value
        if not self._send.disabled and question.strip():
            self._text.value = ""
            send(question)


def _button(title: str, icon: str, press: Callable[[], None]) -> ipywidgets.Button:
    button = ipywidgets.Button(description=title, icon=icon, layout={"width": "auto"})
    button.on_click(lambda pressed: press())
    return button


def _asked(question: str) -> str:
    return f"**You:** {escape_lines(question)}"


def _end(progress: Progress) -> str:
    failure = progress.ended
    said = f" {escape(failure.message)}" if isinstance(failure, Failed) else ""
    return end_line(progress) + said


def _put(output: ipywidgets.Output, bundle: dict[str, str]) -> None:
    output.outputs = ({"output_type": "display_data", "data": bundle, "metadata": {}},)
