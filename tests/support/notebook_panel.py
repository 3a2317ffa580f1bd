"""The chat panel of a notebook, driven as a front end drives it: by messages to its widgets."""

from __future__ import annotations

from typing import Any

from tests.support.kernels import Cell, Kernel


class Panel:
    """A chat panel as a person sees it."""

    def __init__(self, kernel: Kernel, code: str = "Chat()") -> None:
        self.kernel = kernel
        self.cell: Cell = kernel.run(f"chat = {code}\nchat")

    def ask(self, question: str) -> None:
        """Type a question and press Enter, of which front ends tell before they tell the text."""
        text = self.kernel.find(_model_name="TextModel")
        self.kernel.submit(text)
        self.kernel.set(text, value=question)

    def send(self, question: str) -> None:
        """Type a question and press Send, of which front ends tell after the text."""
        self.kernel.set(self.kernel.find(_model_name="TextModel"), value=question)
        self.kernel.press("Send")

    def pick(self, model: str) -> None:
        """Choose a model."""
        self.kernel.wait(lambda: model in self._models()["_options_labels"])
        index = self._models()["_options_labels"].index(model)
        self.kernel.set(self.kernel.find(_model_name="DropdownModel"), index=index)

    def button(self, description: str) -> dict[str, Any]:
        """What a button looks like."""
        return self.kernel.widgets[self.kernel.find(description=description)]

    def layout(self, description: str) -> dict[str, Any]:
        """How a button is laid out."""
        return self.kernel.widgets[self.button(description)["layout"].removeprefix("IPY_MODEL_")]

    def shown(self) -> list[dict[str, str]]:
        """What the outputs in the panel show, in order of their making."""
        states = [state for state in self.kernel.widgets.values() if state.get("_model_name") == "OutputModel"]
        return [output["data"] for state in states for output in state.get("outputs", ())]

    def wait_for(self, text: str) -> None:
        """Wait until a text is there, among the Markdown."""
        self.kernel.wait(lambda: any(text in bundle.get("text/markdown", "") for bundle in self.shown()))

    def wait_ended(self) -> None:
        """Wait until the answer has ended."""
        self.kernel.wait(lambda: self.shown() and not self.button("Send")["disabled"])

    def _models(self) -> dict[str, Any]:
        return self.kernel.widgets[self.kernel.find(_model_name="DropdownModel")]
