"""The conversation in a person's browser, so that it is there again after a reload."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.components.chatbot import ChatbotDataMessages
from pydantic import BaseModel, ValidationError

from llmstream.events import Interrupted
from llmstream.gradio.messages import Message
from llmstream.gradio.view import ChatView

# Ciphers and stores the conversation, which takes a browser milliseconds.
_EVERY_S = 2.0

# A browser stores five million characters for all pages of an origin, and its cipher a third more.
_LONGEST = 2_000_000

# Gradio's cipher keeps nobody out who can read the page; with a key of each process nothing would outlive a restart.
_SECRET = "llmstream"  # noqa: S105


class Kept(BaseModel):
    """The conversation as a browser keeps it.

    caller: a digest of whom it belongs to: another person at the same browser does not see it. messages: those before
    the answer of the run, where it has not ended, or has asked something; partial: what was there of it.
    """

    caller: str = ""
    messages: ChatbotDataMessages = ChatbotDataMessages(root=[])
    partial: ChatbotDataMessages = ChatbotDataMessages(root=[])
    run: str = ""
    thread: str = ""


def browser_state(what: str) -> Any:
    """The component that keeps something of a page in the browser."""
    return gr.BrowserState({}, storage_key=f"llmstream {what}", secret=_SECRET)


def read_kept(value: Any, caller: str) -> Kept:
    """The conversation of a caller, an empty one where it can't be read, or is another's."""
    try:
        kept = Kept.model_validate(value or {})
    except ValidationError:
        return Kept()
    return kept if kept.caller == _digest(caller) else Kept()


class Saving:
    """The saving of one answer while it comes, now and then, and at its end."""

    def __init__(self, caller: str, thread: str) -> None:
        self._caller, self._thread = caller, thread
        self._next = 0.0

    def due(self, before: Sequence[Message], view: ChatView) -> Any:
        """The value to keep now, or no change."""
        now = time.monotonic()
        if (now < self._next and view.ended is None) or not (view.run_id or view.ended):
            return gr.skip()
        self._next = now + _EVERY_S
        return self.of(before, view)

    def of(self, before: Sequence[Message], view: ChatView | None = None) -> dict[str, Any]:
        """The value to keep of a conversation, and of an answer that comes."""
        answer = [] if view is None else view.messages()
        goes_on = view is not None and (view.ended is None or isinstance(view.ended, Interrupted))
        messages, partial = (list(before), answer) if goes_on else ([*before, *answer], [])
        while len(messages) > 1 and _length(messages) + _length(partial) > _LONGEST:
            messages = messages[1:]  # in the browser only; the page has them
        return {
            "caller": _digest(self._caller),
            "messages": messages,
            "partial": partial,
            "run": view.run_id if view is not None and goes_on else "",
            "thread": self._thread,
        }


def _length(messages: Sequence[Message]) -> int:
    return sum(len(str(each)) for each in messages)


def _digest(caller: str) -> str:
    return hashlib.sha256(caller.encode()).hexdigest() if caller else ""
