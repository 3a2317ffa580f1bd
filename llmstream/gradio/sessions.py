"""The memory that Gradio has of each page, without the conversation on it.

Read from Gradio 6.31 (state_holder.py): it keeps the last value of every component of 10,000 pages, whether they are
still open or not, for links that lead to a page as it is (`gr.DeepLinkButton`); and whoever asks for such a link has
them written to a file. A chat page has no such links.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.state_holder import SessionState, StateHolder


def forget_values(app: Any) -> None:
    """Has an app of Gradio's remember no values of its pages, unless there is a button for a link to one."""
    blocks = app.get_blocks()
    if not any(isinstance(each, gr.DeepLinkButton) for each in blocks.blocks.values()):
        app.state_holder = _Sessions()  # type: ignore[no-untyped-call]
        app.state_holder.set_blocks(blocks)


class _Sessions(StateHolder):
    def __getitem__(self, session_id: str) -> SessionState:
        session = super().__getitem__(session_id)
        if type(session.config_values) is not _Nothing:
            session.config_values = _Nothing()
        return session


class _Nothing(dict[int, Any]):
    """A dict that seems to have every key, with nothing behind it."""

    def __contains__(self, key: object) -> bool:
        return True

    def __getitem__(self, key: int) -> Any:
        return {}

    def __setitem__(self, key: int, value: Any) -> None:
        pass
