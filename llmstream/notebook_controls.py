"""The Stop button under an answer, in ipywidgets; nothing of it is left in the notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets  # type: ignore[import-untyped]

WIDGET = "application/vnd.jupyter.widget-view+json"


class StopButton:
    """A button and what is waited for beside it.

    stop: called when it is pressed, perhaps in another thread; it must only tell the event loop.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._label = ipywidgets.Label()
        self._button = ipywidgets.Button(description="Stop", icon="stop", layout={"width": "auto"})
        self._button.on_click(lambda button: stop())
        self._box = ipywidgets.HBox([self._button, self._label])

    def bundle(self) -> dict[str, Any]:
        """What shows it, or a hint where no widgets can be shown."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self._box.model_id}
        return {WIDGET: view, "text/plain": "To stop, interrupt the kernel."}

    def tell(self, status: str) -> None:
        """Change what is said beside it."""
        self._label.value = status

    def close(self) -> None:
        """Remove it from the page, and from the kernel."""
        close_widgets(self._box)


def close_widgets(widget: ipywidgets.Widget) -> None:
    """Close a widget with everything in it; ipywidgets itself would leave the parts open."""
    for child in getattr(widget, "children", ()):
        close_widgets(child)
    for part in (getattr(widget, "style", None), getattr(widget, "layout", None), widget):
        if isinstance(part, ipywidgets.Widget):
            part.close()
