"""The rules of accessibility, checked by axe in the chat page."""

from __future__ import annotations

import json

from playwright.sync_api import Page

from tests.support.lacking import lacking
from tests.support.page import Chat
from tests.support.react_app import APP

_AXE = APP / "node_modules" / "axe-core" / "axe.min.js"
_RUN = "axe.run({ resultTypes: ['violations'] }).then(({ violations }) => violations)"


def with_axe(chat: Chat) -> Chat:
    """The page with axe in it."""
    _add_axe(chat.page)
    return chat


def _add_axe(page: Page) -> None:
    if not _AXE.is_file():
        lacking("axe-core", "run `npm ci` in apps/react")
    page.evaluate(_AXE.read_text())


def too_pale(page: Page, *within: str) -> list[str]:
    """The parts of a page, in what these selectors name, that have too little contrast to be read."""
    _add_axe(page)
    run = f"axe.run({json.dumps(within)}, {{ runOnly: ['color-contrast'] }})"
    found = page.evaluate(f"{run}.then(({{ violations }}) => violations.flatMap(({{ nodes }}) => nodes))")
    return [node["html"] for node in found]


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
