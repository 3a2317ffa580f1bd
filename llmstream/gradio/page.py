"""The chat page in Gradio: its layout, and the actions of its controls."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import gradio as gr

from llmstream.concurrency import call
from llmstream.core.generator import as_runnable
from llmstream.core.question.images import shows_model
from llmstream.gradio import components
from llmstream.gradio.active_answers import Turns
from llmstream.gradio.answers import Answers, State
from llmstream.gradio.components import BUSY
from llmstream.gradio.endpoint import add_endpoint
from llmstream.gradio.likes import feedback, like_of, thumbed, with_word
from llmstream.gradio.messages import (
    ANSWER,
    EDIT,
    Asked,
    Cut,
    asked_of,
    chosen_example,
    chosen_option,
    edited,
    last_question,
    question_messages,
    without_options,
)
from llmstream.gradio.models import AT_ONCE, QUIET, Models
from llmstream.gradio.options import Options
from llmstream.gradio.request import connection, session
from llmstream.gradio.saved import browser_state
from llmstream.gradio.style import PREPARE, SWITCH_THEME, scroll_down, type_on
from llmstream.runs.manager import Runs
from llmstream.view.interrupts import arguments_to_edit

_RAW: dict[str, Any] = {"preprocess": False, "postprocess": False}

# The runs have a limit and a queue of their own, with its place shown.
_UNLIMITED: dict[str, Any] = {"concurrency_limit": None, **QUIET}
Read = Callable[..., tuple[Asked | Cut, Any]]


class Page:
    """The components of one chat page; to be made inside a `gr.Blocks`.

    takes_files: whether images may be attached, at least with some model.
    """

    def __init__(
        self, blocks: gr.Blocks, runs: Runs, chain: object, options: Options, notice: Callable[[], str | None]
    ) -> None:
        self._runs = runs
        self._options = options
        self._turns = Turns(
            runs,
            chain,
            answer_nodes=options.answer_nodes,
            prepare=options.prepare,
            come_back=options.save_history,
        )
        shown = chain is None or shows_model(as_runnable(chain))
        self.takes_files = shown if options.multimodal is None else options.multimodal
        self._panel: list[Any] = []
        kept = browser_state(options.title or "chat") if options.save_history else None
        self._words = _words_on_answers(options)
        self._answers = Answers(self._turns, options, lambda: runs.settings)
        with gr.Column(scale=1, min_width=280) if options.embed else nullcontext():
            self._lay_out(default_chain=chain is None)
        if options.api_name is not None:
            add_endpoint(self._turns, options)
        self._shown = [self._chat, self._line, *([kept] if kept else [])]
        self._wire()
        if kept is not None:
            self._come_back(blocks, kept)
        blocks.load(None, js=PREPARE, **AT_ONCE)
        models = Models(runs, notice, box=self._box, multimodal=options.multimodal)
        if chain is None:
            models.offer(blocks, self._picker, self._notice, self._panel[-1])
        elif self.takes_files:
            models.look_at(chain, blocks)

    def _lay_out(self, *, default_chain: bool) -> None:
        options = self._options
        if options.title or options.description:
            title = f"# {options.title}\n\n" if options.title else ""
            gr.Markdown(title + (options.description or ""), elem_classes="llmstream-title", container=False)
        self._notice: Any = gr.Markdown(visible=False, elem_classes="llmstream-notice", container=False)
        self._chat: Any = components.conversation(options)
        self._line: Any = gr.Markdown(elem_classes="llmstream-line", container=False)
        self._box: Any = components.message_box(options)
        if default_chain or not options.embed:
            with gr.Row(elem_classes="llmstream-under-box"):
                if default_chain:
                    self._picker: Any = components.model_picker()
                if not options.embed:
                    # Gradio follows the system, and keeps its own switch in a menu that is not shown.
                    theme = gr.Button(
                        "Light or dark", size="sm", scale=0, min_width=110, elem_classes="llmstream-theme"
                    )
                    theme.click(None, js=SWITCH_THEME, **AT_ONCE)
        components.additional(options)
        if default_chain:
            panel = components.settings_panel(self._runs.settings, embed=options.embed)
            self._panel = [self._picker, *panel]

    def _wire(self) -> None:
        chat, box = self._chat, self._box
        self._asks(box.submit, lambda _, value, history: (asked_of(value), history), [box, chat], own_box=True)
        self._asks(chat.retry, lambda _, history: last_question(history), [chat])
        self._asks(chat.edit, edited, [chat])
        self._asks(chat.example_select, chosen_example, [chat])
        self._asks(chat.option_select, chosen_option, [chat], answers=True)
        box.stop(self._stop, None, None, **AT_ONCE)
        chat.undo(self._undo, [chat], [box, *self._shown], **AT_ONCE, **_RAW)
        chat.clear(self._clear, None, [box, *self._shown], **AT_ONCE, **_RAW)
        if self._options.on_like is not None:
            chat.like(self._mark, [chat, *self._words], [chat, *self._words], **AT_ONCE, **_RAW)
            chat.like(self._like, [chat], None, **QUIET, **_RAW)

    def _asks(
        self, listen: Any, read: Read, inputs: list[Any], *, own_box: bool = False, answers: bool = False
    ) -> None:
        """Makes an event ask: `read` finds the question, and the conversation before it, in the event and the inputs.

        own_box: whether it stands in the box. answers: whether a text is an answer where the chain has asked something.
        The box has handlers of its own: Gradio builds a component anew for each update of it, which is too dear to be
        done with every piece of an answer.
        """

        async def ask(event: gr.EventData, request: gr.Request, *values: Any) -> tuple[Any, Any]:
            asked, history = read(event, *values[: len(inputs)])
            who, words = session(request), values[len(inputs) :]
            if isinstance(asked, Cut):
                if self._turns.is_busy(who):
                    return gr.skip(), gr.skip()
                goes_on = await self._turns.continued(who, asked, connection(request))
                return gr.update(**BUSY), thumbed(goes_on, *words)
            waiting = self._turns.asked(who) if answers or own_box else ()
            is_asked = asked["text"].strip() or (asked["files"] and not waiting)
            if not is_asked or self._turns.is_busy(who):
                return gr.skip(), gr.skip()
            if waiting and asked["text"] == EDIT:
                return gr.update(value=asked_of(arguments_to_edit(waiting))), gr.skip()
            kept = asked["files"] if waiting else []  # an answer is a text; the images wait for the next question
            now = {**asked, "files": []} if waiting else asked
            before = [without_options(each) for each in history or ()]
            box: dict[str, Any] = {**BUSY, "value": {"text": "", "files": kept}} if own_box else BUSY
            return gr.update(**box), thumbed([*before, *question_messages(now, ANSWER if waiting else None)], *words)

        asked = listen(ask, [*inputs, *self._words], [self._box, self._chat], **AT_ONCE, **_RAW)
        asked.then(None, js=scroll_down(self._box.elem_id), **AT_ONCE)
        more = list(self._options.additional_inputs)
        raw = {**_RAW, "preprocess": bool(more)}  # which leaves messages as they are
        answering = asked.then(
            self._answers.answer, [self._chat, *self._panel, *more], self._shown, **_UNLIMITED, **raw
        )
        answering.then(self._answers.answered, None, [self._box], **AT_ONCE, **_RAW)
        if answers or own_box:
            answering.then(None, js=type_on(self._box.elem_id), **AT_ONCE)

    def _come_back(self, blocks: gr.Blocks, kept: Any) -> None:
        """Has a page that is loaded again show what the browser has kept, and follow an answer that goes on."""
        loaded = blocks.load(self._answers.load, [kept, *self._words], [self._chat, self._box], **AT_ONCE, **_RAW)
        following = loaded.then(self._answers.follow, [kept], self._shown, **_UNLIMITED, **_RAW)
        following.then(self._answers.answered, None, [self._box], **AT_ONCE, **_RAW)

    async def _stop(self, request: gr.Request) -> None:
        await self._turns.stop(session(request))

    async def _undo(self, history: Any, request: gr.Request) -> State:
        asked, before = last_question(history)
        return await self._answers.left(request, before, value=asked)

    async def _clear(self, request: gr.Request) -> State:
        return await self._answers.left(request, [])

    async def _mark(self, event: gr.LikeData, history: Any, words: Any, request: gr.Request) -> tuple[Any, Any]:
        like = like_of(event, history, session(request)[0])
        if like is None:
            return gr.skip(), gr.skip()
        now = with_word(words, like, history)
        return gr.update(feedback_value=feedback(history, now)), now

    async def _like(self, event: gr.LikeData, history: Any, request: gr.Request) -> None:
        like = like_of(event, history, session(request)[0])
        if like is not None and self._options.on_like is not None:
            await call(self._options.on_like, like)


def _words_on_answers(options: Options) -> list[Any]:
    """The component that knows which thumbs were pressed, where there are some; it lasts as the conversation does."""
    if options.on_like is None:
        return []
    return [browser_state(f"{options.title or 'chat'} thumbs") if options.save_history else gr.State({})]
