"""A chat panel in a cell, made of ipywidgets. What people and models write is shown as Markdown, never as HTML."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import Any

from IPython.display import display, update_display

from llmstream.core.direct import can_go_on
from llmstream.core.generator import as_runnable
from llmstream.core.question.arguments import check_values
from llmstream.core.question.inputs import Arguments
from llmstream.errors import InvalidRequest, LlmstreamError
from llmstream.errors.nearest import names_nearest
from llmstream.notebook.answer import Answer, plainly
from llmstream.notebook.awaitable import Showing
from llmstream.notebook.controls import DEFAULT_MODEL, Panel, close_widgets, widget_bundle
from llmstream.notebook.kernel import keeps_widgets, request, request_id
from llmstream.notebook.kernel_interrupt import interrupts
from llmstream.notebook.markdown import MARKDOWN, PLAIN
from llmstream.notebook.show import checked, shared_runs
from llmstream.notebook.turn import Turn
from llmstream.ollama.names import is_cloud
from llmstream.openai.upstream_from_settings import upstream_of
from llmstream.runs.manager import Runs
from llmstream.settings import Settings

_HINT = "A chat panel: run the cell to use it."


class Chat:
    """A conversation in a panel: history, input, stop, continue, retry; the model too if the chain is the default one.

    As the last expression of a cell it is shown there. A chain that remembers has it as one thread; what a graph asks
    stands below its answer, with a form to answer it. chain: any LangChain Runnable; None is the default chain.
    system: a system prompt for the default chain. answer_nodes: see `astream`. runs: to share one. settings: None reads
    the environment for each answer.
    messages: the conversation, in the form that `history` takes.
    """

    @names_nearest
    def __init__(
        self,
        chain: object = None,
        *,
        system: str | None = None,
        answer_nodes: Sequence[str] = (),
        runs: Runs | None = None,
        settings: Settings | None = None,
    ) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError("A Chat lives in a notebook. In a terminal, use `llmstream chat`.") from None
        check_values({"settings": settings, "answer_nodes": answer_nodes})
        if system is not None and not isinstance(system, str):
            raise InvalidRequest(f"system takes a text, got {type(system).__name__}.")
        if chain is not None and system is not None:
            raise InvalidRequest("system belongs to the default chain; this chain brings its own prompt.")
        self.messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
        self._chain = None if chain is None else as_runnable(chain)
        self._answer_nodes = answer_nodes
        self._runs = runs or shared_runs()
        self._settings = settings
        self._thread = secrets.token_urlsafe()
        self._turns: list[Turn] = []
        self._display: Any = None
        self._task: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    def send(self, question: str, *, images: Sequence[Any] = ()) -> Showing:
        """Asks as a person does in the panel; to be awaited, which gives the answer, as `show` does.

        images: as `show` takes them.
        """
        return Showing(partial(self._send, question, images, request_id()), request())

    def markdown(self) -> str:
        """The conversation as Markdown, in which nothing acts that a model wrote."""
        return self._transcript()[MARKDOWN]

    def stop(self) -> None:
        """Ends the answer that is coming; what came stays."""
        if self._turns:
            self._turns[-1].stop()

    def close(self) -> None:
        """Leaves the conversation in the cell, as Markdown that is saved with the notebook, in place of the panel."""
        self.stop()
        if self._display is not None:
            update_display(self._transcript(), raw=True, display_id=self._display.display_id)  # type: ignore[no-untyped-call]
        if "_panel" in vars(self):
            close_widgets(self._panel.box)

    def _ipython_display_(self) -> None:
        if not keeps_widgets():
            hint = {MARKDOWN: f"*{_HINT}*", PLAIN: _HINT}
            display(self._transcript() if self._turns else hint, raw=True)  # type: ignore[no-untyped-call]
            return
        self._look_for_models()
        bundle = widget_bundle(self._panel.box, _HINT)
        self._display = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    @cached_property
    def _panel(self) -> Panel:
        """The panel, made when it is first shown: a notebook that runs unattended keeps the state of every widget."""
        return Panel(self._loop, send=self._ask, stop=self.stop, retry=self._retry, go_on=self._go_on)

    async def _send(self, question: str, images: Sequence[Any], shown_in: str) -> Answer:
        if self._busy():
            raise plainly(InvalidRequest("An answer is coming. Wait for it, or stop it with `chat.stop()`."))
        if not isinstance(question, str):
            raise plainly(InvalidRequest(f"The question has to be a text, got {type(question).__name__}."))
        if not question.strip():
            raise plainly(InvalidRequest("The question is empty. Ask something."))
        turn = Turn(question, self.messages, images=images, is_shown=keeps_widgets())
        with interrupts(self.stop):
            await self._begin(turn)
        return checked(turn.answer(shown_in if self._display is not None else ""))

    def _busy(self) -> bool:
        return self._task is not None and not self._task.done()

    def _ask(self, question: str, images: Sequence[Any] = ()) -> None:
        if question.strip() and not self._busy():
            self._begin(Turn(question, self.messages, images=images))

    def _resume(self, answers: Mapping[str, Any], words: str) -> None:
        if not self._busy():
            self._begin(Turn(words, self.messages, resume=answers))

    def _begin(self, turn: Turn) -> asyncio.Task[None]:
        if self._turns:
            self._turns[-1].hide_form()
        self._turns.append(turn)
        if turn.box is not None:
            self._panel.show(turn.box)
            if not self._panel.offers:
                self._look_for_models()
        panel = self._panel if turn.box is not None else None
        return self._wait(turn, turn.follow(self._runs, partial(self._arguments, panel)))

    def _retry(self) -> None:
        """Ask the last question again; what a graph asked after it, it asks again too."""
        if not self._turns or self._busy():
            return
        while (turn := self._turns.pop()).resume is not None:
            self._panel.remove(turn.box)
        self._panel.remove(turn.box)
        self.messages = turn.before
        self._ask(turn.question, turn.images)

    def _go_on(self) -> None:
        """Continue the last answer, which was cut."""
        if self._turns and not self._busy():
            turn = self._turns[-1]
            self.messages = turn.before
            self._wait(turn, turn.go_on(self._runs))

    def _wait(self, turn: Turn, showing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._task = self._loop.create_task(self._shown(turn, showing))
        return self._task

    async def _shown(self, turn: Turn, showing: Coroutine[Any, Any, None]) -> None:
        """Waits for an answer that is shown, and adds it to the conversation."""
        panel = self._panel if turn.box is not None else None
        if panel is not None:
            panel.answering(True)
        try:
            await showing
        finally:
            self.messages = [*self.messages, *turn.said()]
            if panel is not None:
                panel.answering(False, cut=turn.is_cut and can_go_on(self._chain, self._answer_nodes))
            turn.show_form(lambda *answered: self._loop.call_soon_threadsafe(self._resume, *answered))

    def _arguments(self, panel: Panel | None) -> Arguments:
        settings = self._settings or Settings()
        arguments: Arguments = {"thread": self._thread}
        if self._chain is not None:
            return arguments | {"chain": self._chain, "answer_nodes": self._answer_nodes, "settings": settings}
        if panel is not None and (model := panel.model()) != DEFAULT_MODEL:
            arguments["model"] = model
        if self.messages and self.messages[0]["role"] == "system":  # in the place of the settings' own
            settings = settings.change(system_prompt=None)
        return arguments | {"settings": settings}

    def _look_for_models(self) -> None:
        """Look which models there are: when the panel is shown, and with each question until there are some."""
        if self._chain is None and (self._looking is None or self._looking.done()):
            self._looking = self._loop.create_task(self._look())

    async def _look(self) -> None:
        """Offer the models that there are."""
        with suppress(LlmstreamError):  # the first answer will say what is wrong
            models = await (await upstream_of(self._settings or Settings())).models()
            self._panel.offer([model.name for model in models if not is_cloud(model.name)])

    def _transcript(self) -> dict[str, str]:
        return {
            MARKDOWN: "\n\n".join(turn.markdown() for turn in self._turns),
            PLAIN: "\n\n".join(turn.plain() for turn in self._turns),
        }
