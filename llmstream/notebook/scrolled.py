"""A widget that scrolls inside a height of its own, and follows its newest text."""

from __future__ import annotations

import asyncio

import ipywidgets  # type: ignore[import-untyped]

DRAWN = "llmstream-drawn"
_SCROLLED, _TO_END = "llmstream-scrolled", "llmstream-to-end"

# Browsers keep a place that is snapped to its end there while it grows, and leave it alone farther from the end than a
# third of what the padding spares. JupyterLab takes away what an Output shows before it draws the next: for that
# moment it is as high as can be, or the place would be too low for where its reader is. Should nothing be drawn, the
# moment ends by itself.
STYLE = f"""<style>
.{_SCROLLED} {{ scroll-snap-type: y proximity; scroll-padding-top: 60%; overflow-anchor: none; }}
.{_SCROLLED}.{_TO_END} {{ scroll-snap-type: y mandatory; }}
.{_SCROLLED}::after {{ content: ""; flex: 0 0 1px; scroll-snap-align: end; }}
.{_SCROLLED} .{DRAWN}:has(:is(.jp-OutputArea, .jp-RenderedMarkdown):empty) {{ animation: llmstream-drawing 0.3s; }}
@keyframes llmstream-drawing {{ from, to {{ min-height: 100000px; }} }}
</style>"""

# How long a busy page may take until a question, and the first words of its answer, are laid out.
_LAID_OUT_S = 2.0


class Scrolled:
    """A place with a height of its own, so that what stands below stays where it is.

    It follows its newest text; who has scrolled up stays where he is until he is back at the end.
    """

    def __init__(self, widget: ipywidgets.Widget, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        widget.layout.flex, widget.layout.overflow = "0 0 auto", "visible"
        style = ipywidgets.HTML(STYLE, layout={"display": "none"})
        self.box = ipywidgets.VBox([widget, style], layout={"max_height": "45vh", "overflow": "hidden auto"})
        self.box.add_class(_SCROLLED)

    def to_newest(self) -> None:
        """Scrolls to the lower end: for a moment there is no other place to be."""
        self.box.add_class(_TO_END)
        self._loop.call_later(_LAID_OUT_S, self._let_go)

    def _let_go(self) -> None:
        if self.box.comm is not None:  # it was closed meanwhile
            self.box.remove_class(_TO_END)
