"""The controls made of ipywidgets: the Stop button under an answer, the panel of a chat, and places for outputs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets  # type: ignore[import-untyped]
from IPython.display import display
from ipywidgets.widgets import widget as registry  # type: ignore[import-untyped]

from llmstream.notebook.kernel import request_id
from llmstream.notebook.scrolled import DRAWN, Scrolled

WIDGET = "application/vnd.jupyter.widget-view+json"
DEFAULT_MODEL = "the default model"
TO_STOP = "To stop, interrupt the kernel."

# What is still in the page when a kernel dies can be taken away by nobody, and answers nobody: it hides itself.
_CONTROLS, _WAITING = "llmstream-controls", "llmstream-waiting"
WITHOUT_KERNEL = f"""<style>
.{_CONTROLS}.jupyter-widgets-disconnected
    :is(.jupyter-button, .widget-text, .widget-dropdown, .widget-label, .{_WAITING}) {{ display: none; }}
.{_CONTROLS}.jupyter-widgets.jupyter-widgets-disconnected::before,
.{_CONTROLS} .jupyter-widgets.jupyter-widgets-disconnected::before {{ content: none; }}
.{_CONTROLS}.jupyter-widgets-disconnected::after {{ content: "The kernel has ended. Run the cell again."; }}
</style>"""

# How long after the Enter key its text may come.
_TEXT_S = 0.2


def widget_bundle(widget: ipywidgets.Widget, hint: str) -> dict[str, Any]:
    """The MIME bundle that shows a widget, or a hint where none can be shown."""
    return {WIDGET: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}, "text/plain": hint}


class StopButton:
    """A button and what is waited for beside it; nothing of it is left in the notebook.

    stop: called when it is pressed, perhaps in another thread; it must only tell the event loop.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._label = ipywidgets.Label()
        self._button = ipywidgets.Button(description="Stop", icon="stop", layout={"width": "auto"})
        self._button.on_click(lambda button: stop())
        self._box = _controls(ipywidgets.HBox([self._button, self._label]))

    def bundle(self) -> dict[str, Any]:
        """The MIME bundle that shows the button, or a hint where no widgets can be shown."""
        return widget_bundle(self._box, TO_STOP)

    def tell(self, status: str) -> None:
        """Changes the text beside the button."""
        self._label.value = status

    def close(self) -> None:
        """Removes the button from the page and from the kernel."""
        close_widgets(self._box)


class Panel:
    """The controls of a chat around its turns; the four callbacks are called in the event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        send: Callable[[str, Sequence[bytes]], None],
        stop: Callable[[], None],
        retry: Callable[[], None],
        go_on: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._ask = send
        self._entered: asyncio.TimerHandle | None = None
        self._text = self._field()
        self._send = self._button("Send", "paper-plane", self._take)
        self._stop = self._button("Stop", "stop", stop)
        self._retry = self._button("Retry", "refresh", retry)
        self._continue = self._button("Continue", "forward", go_on)
        self._stop.disabled = self._retry.disabled = True
        self._continue.layout.display = "none"
        picker = {"width": "auto", "max_width": "100%", "align_self": "flex-start", "display": "none"}
        self._models = ipywidgets.Dropdown(options=[DEFAULT_MODEL], layout=picker)
        self._turns = ipywidgets.VBox([])
        self._scrolled = Scrolled(self._turns, loop)
        row = {"flex_flow": "row wrap", "align_items": "center"}
        self._images = _upload()
        asked = [self._text, self._images, self._send, self._stop, self._continue, self._retry]
        self._asking = ipywidgets.HBox(asked, layout=row)
        self.box = _controls(ipywidgets.VBox([self._models, self._scrolled.box, self._asking]))

    def model(self) -> str:
        """The picked model."""
        return str(self._models.value)

    @property
    def offers(self) -> bool:
        """True if there are models to pick from."""
        return len(self._models.options) > 1

    def offer(self, names: list[str]) -> None:
        """Offers these models; the one that is picked stays so, if it is still there."""
        picked = self._models.value
        self._models.options = [DEFAULT_MODEL, *names]
        self._models.value = picked if picked in self._models.options else DEFAULT_MODEL
        self._models.layout.display = None if names else "none"

    def show(self, turn: ipywidgets.Widget) -> None:
        """Adds a turn at the end, and goes there."""
        self._turns.children = (*self._turns.children, turn)
        self._scrolled.to_newest()

    def remove(self, turn: ipywidgets.Widget) -> None:
        """Removes a turn."""
        self._turns.children = tuple(child for child in self._turns.children if child is not turn)
        close_widgets(turn)

    def answering(self, busy: bool, *, cut: bool = False) -> None:
        """True if an answer is coming; cut: whether the last one was."""
        self._continue.layout.display = None if cut else "none"
        self._send.disabled = self._retry.disabled = busy
        self._stop.disabled = not busy

    def _field(self) -> ipywidgets.Text:
        wide = {"flex": "1 1 12em", "width": "auto", "min_width": "8em"}
        field = ipywidgets.Text(placeholder="Ask something", continuous_update=False, layout=wide)
        field.on_msg(self._told)
        field.observe(lambda change: self._soon(self._change), "value")
        return field

    def _button(self, title: str, icon: str, press: Callable[[], None]) -> ipywidgets.Button:
        button = ipywidgets.Button(description=title, icon=icon, layout={"width": "auto"})
        button.on_click(lambda pressed: self._soon(press))
        return button

    def _soon(self, call: Callable[[], None]) -> None:
        # A front end may have the callbacks of widgets run in another thread.
        self._loop.call_soon_threadsafe(call)

    def _told(self, field: ipywidgets.Text, content: Mapping[str, Any], buffers: object) -> None:
        if content.get("event") == "submit":
            self._soon(self._enter)

    def _enter(self) -> None:
        # The Enter key is told before the text that it ends; and the text without it, too, when the field is left.
        self._entered = self._loop.call_later(_TEXT_S, self._take)

    def _change(self) -> None:
        if self._entered is not None:
            self._take()

    def _take(self) -> None:
        if self._entered is not None:
            self._entered.cancel()
            self._entered = None
        question = self._text.value
        if not self._send.disabled and question.strip():
            self._text.value = ""
            self._ask(question, self._taken_images())

    def _taken_images(self) -> list[bytes]:
        """The images that were chosen, of which the button knows nothing from now on: there is a new one."""
        before, self._images = self._images, _upload()
        self._asking.children = tuple(self._images if each is before else each for each in self._asking.children)
        chosen = before.value.values() if isinstance(before.value, Mapping) else before.value  # as in ipywidgets 7
        images = [bytes(each["content"]) for each in chosen]
        close_widgets(before)
        return images


def _upload() -> ipywidgets.FileUpload:
    look = {"description": "Image", "icon": "image", "layout": {"width": "auto"}}
    return ipywidgets.FileUpload(accept="image/png,image/jpeg,image/webp,image/gif", multiple=True, **look)


def _controls(box: ipywidgets.Box) -> ipywidgets.Box:
    """The box, of whose buttons and fields nothing is shown once there is no kernel behind them."""
    box.children = (*box.children, ipywidgets.HTML(WITHOUT_KERNEL, layout={"display": "none"}))
    return box.add_class(_CONTROLS)


class Place:
    """A place where something is shown in an `ipywidgets.Output`, and changed there."""

    def __init__(self) -> None:
        self.widget = ipywidgets.Output()

    def put(self, bundle: Mapping[str, Any]) -> None:
        """Shows a bundle in place of the one before."""
        if not any(bundle.values()):
            self.widget.remove_class(DRAWN)
        self.widget.outputs = ({"output_type": "display_data", "data": dict(bundle), "metadata": {}},)
        if any(bundle.values()):
            self.widget.add_class(DRAWN)

    def waits(self, waiting: bool) -> None:
        """Marks what is shown as of no worth once the kernel has ended."""
        (self.widget.add_class if waiting else self.widget.remove_class)(_WAITING)


class Nowhere:
    """A place that shows nothing, where nobody looks."""

    def put(self, bundle: Mapping[str, Any]) -> None:
        """Does nothing."""

    def waits(self, waiting: bool) -> None:
        """Does nothing."""


def places_in_output() -> tuple[Place, Place] | None:
    """Two places, one below the other, where what is shown now goes to an `ipywidgets.Output`; else None.

    Such a widget shows what is displayed, but knows nothing of changing it (`update_display_data`).
    """
    asked, known = request_id(), list(registry._instances.values())  # noqa: SLF001 - `Widget.widgets` only warns
    if not any(isinstance(each, ipywidgets.Output) and each.msg_id and each.msg_id == asked for each in known):
        return None
    places = Place(), Place()
    display(ipywidgets.VBox([each.widget for each in places]))  # type: ignore[no-untyped-call]
    return places


def close_widgets(widget: ipywidgets.Widget) -> None:
    """Closes a widget with everything in it; ipywidgets itself would leave the parts open."""
    for child in getattr(widget, "children", ()):
        close_widgets(child)
    for part in (getattr(widget, "style", None), getattr(widget, "layout", None), widget):
        if isinstance(part, ipywidgets.Widget):
            part.close()
