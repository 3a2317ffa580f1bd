"""The questions of a graph in a chat's panel: for each tool call a decision, for anything else a text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets  # type: ignore[import-untyped]

from llmstream.events import Interrupt
from llmstream.view.interrupts import Action, Decision, actions_of, answer_of, edit_of

# What the text beside a decision is.
_HINTS = {"reject": "Why not", "respond": "What the tool shall say"}
_WIDE = {"width": "auto", "max_width": "40em"}


class Asked:
    """A form for the answers to what a graph asks.

    on_answers: called with them, by the ids of the interrupts, and with them in words; perhaps in another thread.
    """

    def __init__(self, interrupts: Sequence[Interrupt], on_answers: Callable[[Mapping[str, Any], str], object]) -> None:
        self._on_answers = on_answers
        self._fields = {each["id"]: _field_for(each) for each in interrupts}
        self._problem = ipywidgets.Label()
        self._button = ipywidgets.Button(description="Answer", icon="play", layout={"width": "auto"})
        self._button.on_click(lambda button: self._send())
        fields = [field.box for field in self._fields.values()]
        self.box = ipywidgets.VBox([*fields, ipywidgets.HBox([self._button, self._problem])])

    def _send(self) -> None:
        try:
            answers = {interrupt: field.answer() for interrupt, field in self._fields.items()}
        except ValueError as error:
            self._problem.value = str(error)
        else:
            self._button.disabled = True
            self._on_answers(answers, "\n".join(field.words() for field in self._fields.values()))


class _Text:
    """A text, for what is no tool call; the question itself stands in the answer."""

    def __init__(self) -> None:
        self.box = ipywidgets.Text(placeholder="Your answer", layout=_WIDE)

    def answer(self) -> str:
        """The text."""
        if not self.box.value.strip():
            raise ValueError("Write an answer first.")
        return str(self.box.value)

    def words(self) -> str:
        """The answer in words."""
        return self.answer()


class _Calls:
    """The decisions on the tool calls of one interrupt."""

    def __init__(self, interrupt: Interrupt, actions: Sequence[Action]) -> None:
        self._interrupt = interrupt
        self._decisions = [_Call(action) for action in actions]
        self.box = ipywidgets.VBox([each.box for each in self._decisions])

    def answer(self) -> Any:
        """The answer in the form that the graph takes."""
        return answer_of(self._interrupt, [each.decision() for each in self._decisions])

    def words(self) -> str:
        """The decisions in words."""
        return "\n".join(each.words() for each in self._decisions)


class _Call:
    """The decision on one tool call, with what belongs to it: other arguments, or a text."""

    def __init__(self, action: Action) -> None:
        self._action = action
        written = json.dumps(dict(action.arguments), ensure_ascii=False, indent=2)
        self._choice = ipywidgets.ToggleButtons(
            options=[(kind.capitalize(), kind) for kind in action.allowed], style={"button_width": "auto"}
        )
        self._arguments = ipywidgets.Textarea(written, rows=written.count("\n") + 2, layout=_WIDE)
        self._text = ipywidgets.Text(layout=_WIDE)
        self._choice.observe(lambda change: self._show(), "value")
        self._show()
        name = ipywidgets.Label(action.name)
        self.box = ipywidgets.VBox([name, self._choice, self._arguments, self._text])

    def decision(self) -> Decision:
        """The decision of the person; raises `ValueError` for arguments that are no JSON object."""
        kind, text = self._choice.value, self._text.value.strip()
        if kind == "edit":
            return edit_of(self._action, self._edited())
        if kind == "respond" and not text:
            raise ValueError(f"Write what {self._action.name} shall say.")
        return {"type": kind, "message": text} if text and kind in _HINTS else {"type": kind}

    def words(self) -> str:
        """The decision in words."""
        kind = self._choice.value
        added = json.dumps(self._edited(), ensure_ascii=False) if kind == "edit" else self._text.value.strip()
        return f"{kind.capitalize()} {self._action.name}" + (f": {added}" if added and kind != "approve" else "")

    def _edited(self) -> dict[str, Any]:
        try:
            arguments = json.loads(self._arguments.value)
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            raise ValueError(f'The arguments of {self._action.name} must be a JSON object, like {{"city": "Oslo"}}.')
        return arguments

    def _show(self) -> None:
        kind = self._choice.value
        self._arguments.layout.display = None if kind == "edit" else "none"
        self._text.layout.display = None if kind in _HINTS else "none"
        self._text.placeholder = _HINTS.get(kind, "")


def _field_for(interrupt: Interrupt) -> _Text | _Calls:
    actions = actions_of(interrupt)
    return _Calls(interrupt, actions) if actions else _Text()
