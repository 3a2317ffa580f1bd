"""A chat page's turns, and a page of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llmstream.gradio import create_chat
from llmstream.settings import Settings


@contextmanager
def launched(settings: Settings, **options: Any) -> Iterator[str]:
    """The address of a chat page of its own."""
    chat = create_chat(settings=settings, multimodal=False)
    chat.launch(prevent_thread_lock=True, quiet=True, **options)
    try:
        yield str(chat.local_url).rstrip("/")
    finally:
        chat.close(verbose=False)
