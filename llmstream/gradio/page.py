"""The chat page in Gradio: its layout, and the actions of its controls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import gradio as gr

from llmstream.gradio.active_answers import Session, Turns
from llmstream.gradio.messages import (
    ANSWER,
    EDIT,
    chosen_example,
    chosen_option,
    conversation,
    edited,
    is_answer,
    last_question,
    message,
    text_of,
    without_options,
)
from llmstream.gradio.models import AT_ONCE, QUIET, Models
from llmstream.gradio.style import PREPARE, SWITCH_THEME, TYPE_ON
from llmstream.http.security import CALLER
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from llmstream.view.interrupts import arguments_to_edit

_LATEX: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": r"\[", "right": r"\]", "display": True},
    {"left": r"\(", "right": r"\)", "display": False},
]

_RAW: dict[str, Any] = {"preprocess": False, "postprocess": False}

_IDLE: dict[str, Any] = {"submit_btn": True, "stop_btn": False}
_BUSY: dict[str, Any] = {"submit_btn": False, "stop_btn": True}
State = tuple[Any, Any]  # for the chat and the line under it
Read = Callable[..., tuple[Any, Any]]


class Page:
    """The components of one chat page; to be made inside a `gr.Blocks`."""

    def __init__(
        self,
        blocks: gr.Blocks,
        runs: Runs,
        chain: object,
        *,
        answer_nodes: Sequence[str],
        notice: Callable[[], str | None],
        **texts: Any,
    ) -> None:
        self._runs = runs
        self._turns = Turns(runs, chain, answer_nodes=answer_nodes)
        self._panel: list[Any] = []
        self._lay_out(texts, default_chain=chain is None)
        self._wire()
        blocks.load(None, js=PREPARE, **AT_ONCE)
        if chain is None:
            Models(runs, notice).offer(blocks, self._picker, self._notice, self._thinking)

    def _lay_out(self, texts: dict[str, Any], *, default_chain: bool) -> None:
        self._header(texts["title"], texts["description"])
        self._chat: Any = _conversation(texts["placeholder"], texts["examples"] or ())
        self._line: Any = gr.Markdown(elem_id="line", container=False)
        self._box: Any = _message_box()
        with gr.Row(elem_id="under-box"):
            if default_chain:
                self._picker: Any = _model_picker()
            # Gradio follows the system, and keeps its own switch in a menu that is not shown.
            theme = gr.Button("Light or dark", size="sm", scale=0, min_width=110, elem_id="theme")
            theme.click(None, js=SWITCH_THEME, **AT_ONCE)
        if default_chain:
            self._settings_panel(self._runs.settings)

    def _header(self, title: str, description: str | None) -> None:
        gr.Markdown(f"# {title}" + (f"\n\n{description}" if description else ""), elem_id="title", container=False)
        self._notice: Any = gr.Markdown(visible=False, elem_id="notice", container=False)

    def _settings_panel(self, settings: Settings) -> None:
        with gr.Sidebar(position="right", open=False, width=300, elem_id="panel"):
            gr.Markdown("### Settings")
            self._system: Any = gr.Textbox(
                label="System prompt",
                placeholder="None",
                lines=4,
                max_lines=12,
                visible=settings.system_prompt is None,  # the operator's own is nobody else's to see
            )
            temperatures = sorted({0.0, 0.3, 0.7, 1.0, 1.5} | {settings.temperature or 0.0})
            self._temperature: Any = gr.Dropdown(
                label="Temperature",
                choices=[("The model's own", ""), *((f"{value:g}", f"{value:g}") for value in temperatures)],
                value="" if settings.temperature is None else f"{settings.temperature:g}",
                visible="temperature" in settings.allowed_options,
            )
            self._thinking: Any = gr.Checkbox(label="Think before answering", value=bool(settings.thinking))
        self._panel = [self._picker, self._system, self._temperature, self._thinking]

    def _wire(self) -> None:
        chat, box = self._chat, self._box
        self._asks(box.submit, lambda _, *values: values, [box, chat], clear_box=True, answers=True)
        self._asks(chat.retry, lambda _, history: last_question(history), [chat])
        self._asks(chat.edit, edited, [chat])
        self._asks(chat.example_select, chosen_example, [chat])
        self._asks(chat.option_select, chosen_option, [chat], answers=True)
        box.stop(self._stop, None, None, **AT_ONCE)
        chat.undo(self._undo, [chat], [box, chat, self._line], **AT_ONCE, **_RAW)
        chat.clear(self._clear, None, [box, chat, self._line], **AT_ONCE, **_RAW)

    def _asks(
        self, listen: Any, read: Read, inputs: list[Any], *, clear_box: bool = False, answers: bool = False
    ) -> None:
        """Makes an event ask: `read` finds the question, and the conversation before it, in the event and the inputs.

        answers: whether the text is an answer where the chain has asked something.
        The box has handlers of its own: Gradio builds a component anew for each update of it, which is too dear to be
        done with every piece of an answer.
        """

        async def ask(event: gr.EventData, request: gr.Request, *values: Any) -> tuple[Any, Any]:
            text, history = read(event, *values)
            if not isinstance(text, str) or not text.strip() or self._turns.is_busy(_session(request)):
                return gr.skip(), gr.skip()
            waiting = self._turns.asked(_session(request)) if answers else ()
            if waiting and text == EDIT:
                return gr.update(value=arguments_to_edit(waiting)), gr.skip()
            before = [without_options(each) for each in history or ()]
            box: dict[str, Any] = {**_BUSY, "value": ""} if clear_box else _BUSY
            metadata = ANSWER if waiting else None
            return gr.update(**box), [*before, message("user", text, metadata)]

        asked = listen(ask, inputs, [self._box, self._chat], **AT_ONCE, **_RAW)
        answering = asked.then(
            self._answer,
            [self._chat, *self._panel],
            [self._chat, self._line],
            concurrency_limit=None,  # the runs have a limit and a queue of their own, with its place shown
            **QUIET,
            **_RAW,
        )
        answering.then(self._answered, None, [self._box], **AT_ONCE, **_RAW)
        if answers:
            answering.then(None, js=TYPE_ON, **AT_ONCE)

    async def _answer(self, request: gr.Request, history: Any, *panel: Any) -> AsyncGenerator[State, None]:
        """Answers the question that stands last, if one does."""
        asked = list(history or ())
        ended = False
        if asked and asked[-1].get("role") == "user":
            async with aclosing(self._turns.answer(_session(request), self._fields(asked, panel))) as views:
                async for view in views:
                    ended = view.ended is not None
                    yield [*asked, *view.messages()], view.line
        if not ended:  # the page shows something else by now, and Gradio repeats the last thing it was given
            yield gr.skip(), gr.skip()

    async def _answered(self, request: gr.Request) -> Any:
        return gr.skip() if self._turns.is_busy(_session(request)) else gr.update(**_IDLE)

    def _fields(self, asked: list[Any], panel: Sequence[Any]) -> dict[str, Any]:
        """The fields that a run is asked with."""
        messages = conversation(asked)
        if is_answer(asked[-1]):
            return {"messages": messages, "answer": text_of(asked[-1])}
        if not panel:
            return {"messages": messages}
        model, system, temperature, thinking = panel
        if system and self._runs.settings.system_prompt is None:
            messages.insert(0, {"role": "system", "content": str(system)})
        options = {"temperature": _number(temperature)} if temperature else None
        return {"messages": messages, "model": model or None, "thinking": thinking, "options": options}

    async def _stop(self, request: gr.Request) -> None:
        await self._turns.stop(_session(request))

    async def _undo(self, history: Any, request: gr.Request) -> tuple[Any, Any, Any]:
        await self._turns.leave(_session(request))
        text, before = last_question(history)
        return gr.update(value=text, **_IDLE), before, ""

    async def _clear(self, request: gr.Request) -> tuple[Any, Any, Any]:
        await self._turns.leave(_session(request))
        return gr.update(**_IDLE), [], ""


def _conversation(placeholder: str | None, examples: Sequence[str]) -> Any:
    return gr.Chatbot(
        show_label=False,
        label="Conversation",
        container=False,
        elem_id="chat",
        scale=1,
        height=200,  # and what the window has left
        editable="user",
        latex_delimiters=_LATEX,
        buttons=["copy"],
        sanitize_html=True,
        allow_tags=False,
        feedback_options=None,
        layout="bubble",
        group_consecutive_messages=False,
        placeholder=placeholder,
        examples=[{"text": example, "display_text": example} for example in examples] or None,
    )


def _message_box() -> Any:
    return gr.Textbox(
        show_label=False,
        label="Message",
        placeholder="Ask something",
        lines=1,
        max_lines=8,
        autofocus=True,
        elem_id="box",
        **_IDLE,
    )


def _model_picker() -> Any:
    return gr.Dropdown(
        choices=[], value=None, show_label=False, label="Model", container=False, elem_id="model", min_width=120
    )


def _session(request: Any) -> Session:
    caller = request.request.scope.get(CALLER, "") if request.request is not None else ""
    return str(caller), str(request.session_hash)


def _number(text: Any) -> Any:
    """The number that a choice means; a text that is no number is refused with the request."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
