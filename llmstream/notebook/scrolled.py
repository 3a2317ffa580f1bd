"""A widget that scrolls inside a height of its own, and follows its newest text."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import ipywidgets  # type: ignore[import-untyped]

_FROM_BELOW = {"flex_flow": "column-reverse", "justify_content": "flex-start"}
_BELOW_ALONE = {"flex_flow": "column", "justify_content": "flex-end"}

# How long a page may take to lay something out.
_LAID_OUT_S = 0.3


class Scrolled:
    """A place with a height of its own, so that what stands below stays where it is; it shows its newest text.

    What is laid out from the lower end up stays there while it grows: browsers do so by themselves, and keep the
    distance to that end of who has scrolled up. To be at the lower end again it is for a moment laid out such that
    there is no other place to be.
    """

    def __init__(self, widget: ipywidgets.Widget, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        widget.layout.flex, widget.layout.overflow = "0 0 auto", "visible"
        look = {"max_height": "60vh", "overflow": "hidden auto", **_FROM_BELOW}
        self.box = ipywidgets.Box([widget], layout=look)

    def to_newest(self) -> None:
        """Scrolls to the lower end."""
        self._lay_out(_BELOW_ALONE)
        self._loop.call_later(_LAID_OUT_S, self._lay_out, _FROM_BELOW)

    def _lay_out(self, look: Mapping[str, str]) -> None:
        if self.box.layout.comm is not None:  # it was closed meanwhile
            with self.box.layout.hold_sync():
                for name, value in look.items():
                    setattr(self.box.layout, name, value)
