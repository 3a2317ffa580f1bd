"""The rules of accessibility, checked by axe in the chat page."""

from __future__ import annotations

from tests.support.lacking import lacking
from tests.support.page import Chat
from tests.support.react_app import APP

_AXE = APP / "node_modules" / "axe-core" / "axe.min.js"
_RUN = "axe.run({ resultTypes: ['violations'] }).then(({ violations }) => violations)"


def with_axe(chat: Chat) -> Chat:
    """The page with axe in it."""
    if not _AXE.is_file():
        lacking("axe-core", "run `npm ci` in apps/react")
    chat.page.evaluate(_AXE.read_text())
    return chat


def check_by_axe(chat: Chat, what: str) -> None:
    """No violation of the rules of accessibility, wide and narrow, light and dark."""
    found = {}
    for width, height in ((1280, 800), (390, 844)):
        chat.page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            chat.page.emulate_media(color_scheme=scheme)
            for violation in chat.page.evaluate(_RUN):
                found[f"{what}, {width}, {scheme}: {violation['id']}"] = [node["html"] for node in violation["nodes"]]
    assert {} == found
